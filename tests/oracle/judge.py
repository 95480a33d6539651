"""The weights of a pipeline, held against those that they must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum, auto
from typing import Any

import numpy as np
import torch

from tests.oracle.expected import Layers, expected, without_meaning
from tests.oracle.file import AdapterFile, Array

TOLERANCE = 5e-6
"""Of the largest value in a weight or in its change: a few roundings of float32."""


class Verdict(StrEnum):
    """How a file fared.

    Attributes:
        EXACT: every weight is what it must be.
        PARTLY: so, without the tensors that the loader named as left out.
        REFUSED: with a sentence; nothing changed.
        WRONG: some weight is another.
    """

    EXACT = auto()
    PARTLY = auto()
    REFUSED = auto()
    WRONG = auto()


@dataclass(frozen=True)
class Outcome:
    """A verdict, and the sentence or the weights that it rests upon."""

    verdict: Verdict
    why: str = ""


def weights_of(pipeline: Any) -> dict[str, Array]:
    """Every weight that an adapter may change, in float64."""
    return {
        f"{component}.{name}": parameter.detach().double().numpy().copy()
        for component in pipeline._lora_loadable_modules
        if getattr(pipeline, component, None) is not None
        for name, parameter in getattr(pipeline, component).named_parameters()
    }


def differences(base: Mapping[str, Array], got: Mapping[str, Array], wanted: Mapping[str, Array]) -> dict[str, float]:
    """The weights that are not what they must be, and by how much of the greatest value there."""
    if got.keys() != base.keys():
        return dict.fromkeys(got.keys() ^ base.keys(), np.inf)
    errors = {name: error(value, got[name], base[name]) for name, value in wanted.items()}
    wrong = {name: value for name, value in errors.items() if not value <= TOLERANCE}
    touched = (name for name in base.keys() - wanted.keys() if not np.array_equal(base[name], got[name]))
    return wrong | dict.fromkeys(touched, np.inf)


def error(wanted: Array, got: Array, before: Array) -> float:
    """The largest difference, as a part of the largest value."""
    size = max(np.abs(wanted).max(), np.abs(before).max())
    return float(np.abs(wanted - got).max() / size)


def judge(
    base: Mapping[str, Array],
    got: Mapping[str, Array],
    file: AdapterFile,
    layers: Layers,
    *,
    strength: float = 1.0,
    left_out: tuple[str, ...] = (),
) -> Outcome:
    """Judge the weights after an adapter was merged.

    Args:
        left_out: keys of the file that the loader named as not merged: what is left must be merged.
    """
    kept = replace(file, tensors={key: value for key, value in file.tensors.items() if key not in left_out})
    if silent := without_meaning(kept, layers):
        return Outcome(Verdict.WRONG, f"{len(silent)} keys mean nothing, and that is not told, such as {silent[0]}")
    try:
        wanted = expected(base, [(kept, layers, strength)])
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        return Outcome(Verdict.WRONG, f"merged what has no meaning: {error}")
    if wrong := differences(base, got, wanted):
        worst = max(wrong, key=lambda name: wrong[name])
        return Outcome(Verdict.WRONG, f"{len(wrong)} weights, such as {worst} by {wrong[worst]:.1e}")
    return Outcome(Verdict.PARTLY, f"left out: {', '.join(left_out)}") if left_out else Outcome(Verdict.EXACT)


def restored(pipeline: Any, base: Mapping[str, Array]) -> bool:
    """Return whether the pipeline has the weights that it began with, bit by bit."""
    now = weights_of(pipeline)
    return now.keys() == base.keys() and all(np.array_equal(now[name], value) for name, value in base.items())


@torch.no_grad()
def set_weights(pipeline: Any, base: Mapping[str, Array]) -> None:
    """Give a pipeline back what it began with."""
    for name, value in base.items():
        component, _, weight = name.partition(".")
        getattr(pipeline, component).get_parameter(weight).copy_(torch.from_numpy(value))
