"""Ask diffusers which modules of the pipeline an adapter's layers are, by its own converters of names.

They convert state dicts. Here they get probes in place of the file's tensors: each layer is a LoRA of rank 1 with alpha
1, whose first factor holds the layer's number and whose second its row numbers. Whatever comes out says which rows of
which layer went where: renamed, split or reordered. No value, rank or alpha of the file is seen by a converter.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tasks.base_models.families import flat
from workers.adapters.file_layers import Kind, split
from workers.adapters.module_names import ModuleNames, without_start
from workers.adapters.pieces import Piece, Probe

logger = logging.getLogger(__name__)

_BLOCK = re.compile(r"(?<=[._])\d+(?=[._])")

State = dict[str, torch.Tensor]

MAX_RUNS = 64
"""Of the converter for one spelling: names that it refuses are halved until the culprits are alone."""


@dataclass(frozen=True)
class Spelling:
    """A way to write a layer's name, and the ends of its keys.

    Attributes:
        has_alpha: an alpha stands beside the factors. Some converters want one, and others take none.
    """

    start: str
    down: str
    up: str
    is_flat: bool = False
    has_alpha: bool = False

    def name(self, name: str) -> str:
        """The layer's name in this spelling."""
        if not self.start:
            return name
        plain = without_start(name)
        return self.start + (flat(plain) if self.is_flat else plain)


SPELLINGS = (
    Spelling("", "lora_down.weight", "lora_up.weight", has_alpha=True),
    Spelling("", "lora_A.weight", "lora_B.weight"),
    Spelling("", "down.weight", "up.weight"),
    Spelling("lora_unet_", "lora_down.weight", "lora_up.weight", is_flat=True, has_alpha=True),
    Spelling("diffusion_model.", "lora_A.weight", "lora_B.weight"),
)
RENAMED_ROWS = 12
"""Rows of a probe of a layer whose tensors do not say how many it has: as many as the splits into 2, 3 or 4 divide."""


class Converter:
    """The converter of a pipeline class.

    Attributes:
        names: of the modules of the pipeline.
    """

    def __init__(self, pipeline_class: Any, unet_config: object, names: ModuleNames) -> None:
        self._convert = pipeline_class.lora_state_dict
        self._options = {} if unet_config is None else {"unet_config": unet_config}
        self._names = names

    def find(self, probes: Sequence[Probe]) -> dict[str, list[Piece]]:
        """Where the rows of each layer go, by name of the layer; what no converter knows is left out."""
        found: dict[str, list[Piece]] = {}
        for spelling in SPELLINGS:
            left = [probe for probe in probes if probe.name not in found]
            if left:
                found.update(self._find_written(left, spelling))
        return found

    def _find_written(self, probes: Sequence[Probe], spelling: Spelling) -> dict[str, list[Piece]]:
        """As ``find``, in one spelling. Layers of one pattern are refused or taken together."""
        found: dict[str, list[Piece]] = {}
        waiting = [list(patterns(probes).values())]
        for _ in range(MAX_RUNS):
            if not waiting:
                break
            groups = waiting.pop()
            together = [probe for group in groups for probe in group]
            try:
                found.update(self._find_together(together, spelling))
            except Exception as error:  # noqa: BLE001 (whatever a converter raises for names that it does not know)
                logger.debug("diffusers does not convert %s and others: %s", together[0].name, error)
                half = len(groups) // 2
                waiting.extend(part for part in (groups[half:], groups[:half]) if part and half)
        return found

    def _find_together(self, probes: Sequence[Probe], spelling: Spelling) -> dict[str, list[Piece]]:
        converted = self._convert(state_of(probes, spelling), **self._options)
        state: Mapping[str, torch.Tensor] = converted[0] if isinstance(converted, tuple) else converted
        found: dict[str, list[Piece]] = {}
        for name, factors in by_layer(state):
            module = self._names.find(name)
            if module is not None and factors.keys() == {Kind.DOWN, Kind.UP}:
                probe = probes[int(factors[Kind.DOWN].flatten()[0])]
                found.setdefault(probe.name, []).extend(pieces(module, factors[Kind.UP].flatten()))
        return found


def patterns(probes: Iterable[Probe]) -> dict[str, list[Probe]]:
    """The layers by their names without the numbers of blocks."""
    found: dict[str, list[Probe]] = {}
    for probe in probes:
        found.setdefault(_BLOCK.sub("#", probe.name), []).append(probe)
    return found


def state_of(probes: Sequence[Probe], spelling: Spelling) -> State:
    """Probes as a converter takes them."""
    sizes = [probe.outputs or RENAMED_ROWS for probe in probes]
    rows = {size: torch.arange(size, dtype=torch.float64).unsqueeze(1) for size in set(sizes)}
    state: State = {}
    for number, probe in enumerate(probes):
        name = spelling.name(probe.name)
        state[f"{name}.{spelling.down}"] = torch.full((1, 1), float(number), dtype=torch.float64)
        state[f"{name}.{spelling.up}"] = rows[sizes[number]]
        if spelling.has_alpha:
            state[f"{name}.alpha"] = torch.tensor(1.0, dtype=torch.float64)
    return state


def by_layer(state: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, dict[Kind, torch.Tensor]]]:
    """The factors that a converter returned, by the name that it gave them."""
    layers: dict[str, dict[Kind, torch.Tensor]] = {}
    for key, value in state.items():
        name, kind = split(key)
        if kind in (Kind.DOWN, Kind.UP):
            layers.setdefault(name, {})[kind] = value
    yield from layers.items()


def pieces(module: str, numbers: torch.Tensor) -> Iterator[Piece]:
    """The rows of a layer that became the rows of a module, as runs without a gap."""
    rows = numbers.long()
    breaks = (torch.nonzero(rows.diff() != 1).flatten() + 1).tolist()
    for first, end in zip([0, *breaks], [*breaks, len(rows)], strict=True):
        if end > first:
            start = int(rows[first])
            yield Piece(module, start, start + end - first, first)
