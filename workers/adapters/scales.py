"""The strength that a file declares for each of its layers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from workers.adapters.refusal import Refused

OF_DIFFUSERS = "lora_adapter_metadata"
"""Under this name diffusers writes PEFT's configuration of each component, as JSON."""
ALPHA_NAMES = ("ss_network_alpha", "lora_alpha", "network_alpha", "alpha")
"""Under these names trainers write the alpha of the whole file."""
CHANGES_BASE = ("pissa", "olora", "corda", "loftq")
"""Initialisations of PEFT's that change the base model too: the file alone holds only the rest."""
AGAIN = "Train or export it again."

_PATTERN = re.compile(r"\^?(?:\.\*)?(?:\\?\.)?(?P<name>\w[\w.\\]*)\$?")
"""The keys of an ``alpha_pattern`` that are a module's name or the end of one. None is ever run as an expression."""


@dataclass(frozen=True)
class Declared:
    """The alphas that a file declares beside its tensors.

    Attributes:
        alpha: of every layer that has none of its own; None if none is named.
        patterns: alphas by the name, or the end of the name, of modules.
        is_rank_stabilised: alpha is divided by the square root of the rank (https://arxiv.org/abs/2312.03732).
        is_dora: the layers have magnitudes (https://arxiv.org/abs/2402.09353).
    """

    alpha: float | None = None
    patterns: Mapping[str, float] = field(default_factory=dict)
    is_rank_stabilised: bool = False
    is_dora: bool = False

    def scale(self, alpha: float | None, rank: int) -> float:
        """Alpha over rank, or over its square root; 1 where no alpha is named anywhere.

        As in sd-scripts, an alpha of 0 means the rank.
        """
        value = alpha or float(rank)
        return value / math.sqrt(rank) if self.is_rank_stabilised else value / rank

    def alpha_of(self, module: str) -> float | None:
        """The alpha of a layer that has none of its own; None if there is none.

        Args:
            module: its name, without its component.
        """
        for name, alpha in self.patterns.items():
            if module == name or module.endswith(f".{name}"):
                return alpha
        return self.alpha


class Scales:
    """What a file's metadata, and the configuration beside it, say of the strength of its layers.

    Raises:
        Refused: they say that the base model must be changed too, or are not understood.
    """

    def __init__(self, metadata: Mapping[str, str], config: Mapping[str, object] | None = None) -> None:
        packed = read_json(metadata[OF_DIFFUSERS]) if OF_DIFFUSERS in metadata else {}
        self._packed: Mapping[str, object] = packed
        self._of_file = alpha_of_file(metadata)
        self._others = declared(config or {}, self._of_file)
        self._by_component: dict[str, Declared] = {}

    def of(self, component: str) -> Declared:
        """What is declared for the layers of a component.

        Raises:
            Refused: see the class.
        """
        if component not in self._by_component:
            start = f"{component}."
            own = {key.removeprefix(start): value for key, value in self._packed.items() if key.startswith(start)}
            self._by_component[component] = declared(own, self._of_file) if own else self._others
        return self._by_component[component]


def read_json(text: str) -> Mapping[str, object]:
    """The configuration that diffusers writes into a file's metadata.

    Raises:
        Refused: it is not the JSON of an object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"has metadata ({OF_DIFFUSERS!r}) that is not valid JSON. Export it again.") from error
    if not isinstance(found, dict):
        raise Refused(f"has metadata ({OF_DIFFUSERS!r}) that is not a JSON object. Export it again.")
    return found


def declared(config: Mapping[str, object], otherwise: float | None) -> Declared:
    """What a configuration of PEFT's says.

    Args:
        otherwise: the alpha where it names none.

    Raises:
        Refused: it asks for a changed base model, or names an alpha that is not a number.
    """
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(CHANGES_BASE):
        raise Refused(
            f"was initialised by {start!r}, which changes the base model too, so that it fits that changed model only. "
            "Convert it to a plain LoRA (PEFT: `path_initial_model_for_weight_conversion`) and submit that."
        )
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, Mapping):
        raise Refused(f"has an alpha_pattern in its metadata that is not an object. {AGAIN}")
    alphas = (config.get(name) for name in ("lora_alpha", "alpha"))  # of its LoRA, and of its LoHa and LoKr
    alpha = next((value for value in alphas if value is not None), otherwise)
    return Declared(
        alpha=None if alpha is None else finite("lora_alpha", alpha),
        patterns={plain_name(str(key)): finite(str(key), value) for key, value in patterns.items()},
        is_rank_stabilised=bool(config.get("use_rslora")),
        is_dora=bool(config.get("use_dora")),
    )


def plain_name(pattern: str) -> str:
    """The module that a key of an ``alpha_pattern`` names.

    Raises:
        Refused: it is an expression that names no module.
    """
    found = _PATTERN.fullmatch(pattern)
    if found is None:
        raise Refused(
            f"gives alphas by the expression {pattern[:80]!r} in its metadata, and expressions are not run here. "
            "Export it with the names of its layers, or with alphas as tensors."
        )
    return found["name"].replace("\\", "")


def alpha_of_file(metadata: Mapping[str, str]) -> float | None:
    """The alpha that trainers write for the whole file; None if there is none.

    Raises:
        Refused: it is not a finite number.
    """
    for name in ALPHA_NAMES:
        text = metadata.get(name, "")
        if text.strip().lower() not in ("", "none", "null"):
            return finite(name, text)
    return None


def finite(name: str, value: object) -> float:
    """An alpha.

    Raises:
        Refused: it is not a finite number.
    """
    try:
        alpha = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        alpha = math.nan
    if not math.isfinite(alpha):
        raise Refused(f"has an alpha that is not a finite number, of {name}. {AGAIN}")
    return alpha


def number(key: str, alpha: torch.Tensor) -> float:
    """The alpha in a tensor of any shape and type.

    Raises:
        Refused: it is not one finite number.
    """
    return finite(key, alpha.double().item() if alpha.numel() == 1 else None)
