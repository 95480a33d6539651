"""The fit of an adapter's layers to a base model.

It foresees what a worker does with the file: what ``workers.adapters.parser`` refuses is rejected here, and what it
might take is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from tasks.adapters.passport.layers import AdapterLayers, Format, Kind, Layer
from tasks.base_models.families import OF_UNETS, Family, family_of
from tasks.base_models.shapes import BaseShapes, ModuleShape

SHOWN = 200
"""Characters of a key that a reason shows."""
ASIDE = frozenset({Kind.ALPHA, Kind.MAGNITUDE})
"""What stands beside a low-rank product."""
PRODUCT = frozenset({Kind.DOWN, Kind.UP, Kind.BIAS})


class Verdict(StrEnum):
    """The expected outcome of an adapter on a base model."""

    ACCEPTED = "accepted"
    """It fits."""
    UNKNOWN = "unknown"
    """Nothing speaks against it, and nothing proves that it fits: it is tried, with a warning."""
    REJECTED = "rejected"
    """It cannot work."""


@dataclass(frozen=True)
class Fit:
    """The fit of an adapter to one base model.

    Attributes:
        reason: a sentence's end, for the one who asks.
        matched: layers for which the base model has a module of their shape.
        unmatched: keys for which it has no such module.
    """

    verdict: Verdict
    reason: str
    matched: int = 0
    unmatched: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


NO_SHAPES = Fit(Verdict.UNKNOWN, "no worker has reported the layers of this base model yet")


def fit(adapter: AdapterLayers, base: BaseShapes | None) -> Fit:
    """Judge a file that holds low-rank factors; None stands for a base model whose shapes are not known."""
    if base is None:
        return NO_SHAPES
    pairs = [(layer, base.by_name.get(name)) for name, layer in adapter.layers.items()]
    matched = [(layer, module) for layer, module in pairs if module is not None]
    unmatched = [key for layer, module in pairs if module is None for key in layer.factor_keys]
    family = family_of_adapter(adapter)
    misfit = first_misfit(matched, made_for(family, base))
    if misfit is not None:
        return Fit(Verdict.REJECTED, misfit, 0, tuple(unmatched))
    found = Fit(Verdict.ACCEPTED, "", len(matched), (*unmatched, *adapter.other_keys))
    if len(unmatched) > len(matched):
        return mostly_unmatched(found, family, base)
    return accepted(found, adapter)


def accepted(found: Fit, adapter: AdapterLayers) -> Fit:
    """A file most of whose layers fit, with what its client should know."""
    warnings = []
    if found.unmatched:
        warnings.append(f"{len(found.unmatched)} of its keys have no place here, such as {found.unmatched[0][:SHOWN]}")
    verdict, reason = Verdict.ACCEPTED, f"{found.matched} of its layers fit"
    if adapter.format in {Format.LOHA, Format.LOKR}:
        verdict = Verdict.UNKNOWN
        reason = f"its layers are {adapter.format.name}, whose shapes only a worker judges"
    elif adapter.other_keys:
        verdict = Verdict.UNKNOWN
        reason = f"it holds other things than low-rank factors, such as {adapter.other_keys[0][:SHOWN]}"
    return replace(found, verdict=verdict, reason=reason, warnings=tuple(warnings))


def mostly_unmatched(found: Fit, family: Family | None, base: BaseShapes) -> Fit:
    """A file most of whose layers have no module of their name.

    A worker knows more names than those that it reports; only a file of another family is sure to fail.
    """
    if family is not None and is_other(family, base):
        reason = (
            f"made for {family}: {found.matched} of its layers fit, and {len(found.unmatched)} of its keys do not, "
            f"such as {found.unmatched[0][:SHOWN]}"
        )
        return Fit(Verdict.REJECTED, reason, found.matched, found.unmatched)
    reason = "its layers are named in a way that only a worker can match"
    return Fit(Verdict.UNKNOWN, reason, found.matched, found.unmatched)


def first_misfit(pairs: Iterable[tuple[Layer, ModuleShape]], origin: str) -> str | None:
    """What is wrong with the first layer that does not fit its module; cross-attention first, which tells families."""
    found = [(module.name, reason) for layer, module in pairs if (reason := misfit_of(layer, module, origin))]
    telling = [reason for name, reason in found if "attn2" in name]
    return next(iter((*telling, *(reason for _, reason in found))), None)


def misfit_of(layer: Layer, module: ModuleShape, origin: str) -> str | None:
    """Return why a layer does not fit its module; None where it does, or where it is not a plain low-rank product.

    Args:
        origin: what the adapter was made for, if it was for another base model.
    """
    kinds = layer.shapes.keys() - ASIDE
    if kinds - PRODUCT:
        return None
    down, up = layer.shapes.get(Kind.DOWN), layer.shapes.get(Kind.UP)
    name = f"`{module.name}`"
    if down is None or up is None:
        return f"its file is incomplete: one of the two factors of {name} is missing"
    if min(len(down), len(up)) < 2 or not math.prod(down) or not math.prod(up) or down[0] != up[1]:
        return f"its file is broken: the factors of {name} are not a low-rank product: {list(down)} and {list(up)}"
    inputs = (
        (down[1], module.inputs, "takes {} inputs"),
        (math.prod(down[2:]), math.prod(module.shape[2:]), "has a window of {}"),
    )
    # A convolution's inputs and window may be written as one.
    are_as_many = math.prod(down[1:]) == math.prod(module.shape[1:])
    compared = (*(() if are_as_many else inputs), (up[0], module.outputs, "gives {} outputs"))
    wrong = ((said.format(its), ours) for its, ours, said in compared if its != ours)
    return next((f"{origin}: its {name} {said}, this base has {ours}" for said, ours in wrong), None)


def family_of_adapter(adapter: AdapterLayers) -> Family | None:
    """The family that a file was made for, where its layers tell."""
    downs = ((layer.name, layer.shapes.get(Kind.DOWN, ())) for layer in adapter.layers.values())
    return family_of((name, down[1] if len(down) > 1 else 0) for name, down in downs)


def is_other(family: Family, base: BaseShapes) -> bool:
    """Return whether a base model is surely of another family."""
    if base.family is not None:
        return family is not base.family
    return base.has_unet is not (family in OF_UNETS)


def made_for(family: Family | None, base: BaseShapes) -> str:
    """Return how a rejection begins."""
    return "made for another base model" if family is None or family is base.family else f"made for {family}"
