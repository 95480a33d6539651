"""The time of a swap for each kind of change, over a copy of the same weights from their pristine copies."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from workers.swap.changes import Change, Difference, Hadamard, Kronecker, LowRank, Scaled
from workers.swap.engine import MergeEngine, PreparedAdapter, attention_weights
from workers.swap.parsed_adapter import ParsedAdapter
from workers.swap.whole_changes import Normalised, Rotated, cayley

FACTOR = 16
"""Rows and columns of LoKr's first matrix."""

ONE_OF = 8
"""Of so many projections one is changed: more than the caches hold, and the noise for them is soon made."""

TURNED = 64
"""Rows that one rotation turns; half as many where there are two stages, which must fit into 320 rows."""


def noise(*shape: int) -> torch.Tensor:
    """As trainers write it: in half precision."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).mul_(0.02).half()


def low_rank(rows: int, columns: int, rank: int) -> LowRank:
    return LowRank(noise(rank, columns), noise(rows, rank))


def rotated(rows: int, stages: int) -> Rotated:
    size = TURNED // stages
    blocks = noise(stages, rows // size, size, size).float()
    return Rotated(cayley(blocks - blocks.mT), butterfly=stages > 1)


KINDS: Mapping[str, Callable[[int, int, int], Change]] = MappingProxyType(
    {
        "LoRA": low_rank,
        "LoHa": lambda rows, columns, rank: Hadamard(
            noise(rows, rank), noise(rank, columns), noise(rows, rank), noise(rank, columns)
        ),
        "LoKr": lambda rows, columns, _: Kronecker(noise(FACTOR, FACTOR), noise(rows // FACTOR, columns // FACTOR)),
        "difference": lambda rows, columns, _: Difference(noise(rows, columns)),
        "(IA)3": lambda rows, _, __: Scaled(noise(rows), on_input=False),
        "DoRA, outputs": lambda rows, columns, rank: Normalised(low_rank(rows, columns, rank), 1 + noise(rows)),
        "DoRA, inputs": lambda rows, columns, rank: Normalised(low_rank(rows, columns, rank), 1 + noise(columns), True),
        "OFT": lambda rows, _, __: rotated(rows, stages=1),
        "BOFT, 2 stages": lambda rows, _, __: rotated(rows, stages=2),
    }
)


def ratios_of_kinds(pipeline: Any, rank: int, rounds: int) -> dict[str, float]:
    """Swap between two scales of an adapter of each kind on some attention projections: medians over that of a copy."""
    engine = MergeEngine(pipeline)
    names = attention_weights(pipeline)[::ONE_OF]
    ratios = {}
    for kind, make in KINDS.items():
        shapes = {name: engine.weights[name].shape for name in names}
        changes = {name: (make(shape[0], shape[1], rank),) for name, shape in shapes.items()}
        parsed = ParsedAdapter.packed(changes, {name: engine.weights[name].dtype for name in names})
        adapters = [prepared(kind, parsed, scale) for scale in (1.0, 0.5)]
        engine.swap((adapters[0],))
        swaps, copies = [], []
        for number in range(2 * rounds):
            swaps.append(seconds(partial(engine.swap, (adapters[(number + 1) % 2],)), pipeline.device))
            copies.append(seconds(partial(copy, engine, names), pipeline.device))
        ratios[kind] = round(statistics.median(swaps) / statistics.median(copies), 2)
    return ratios


def prepared(kind: str, parsed: ParsedAdapter, scale: float) -> PreparedAdapter:
    adapter = ResolvedAdapter(
        ref="bench",
        source=AdapterSource.FOLDER,
        repository="bench",
        commit="0" * 64,
        weight_name="bench.safetensors",
        base_model="bench",
    )
    return PreparedAdapter(adapter, scale, Path("bench.safetensors"), kind, parsed)


@torch.no_grad()
def copy(engine: MergeEngine, names: list[str]) -> None:
    """The floor: these weights, copied from their pristine copies."""
    for name in names:
        engine.weights[name].copy_(engine.pristine[name])


def seconds(action: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that this takes on the device."""
    start = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
