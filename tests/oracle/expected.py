"""The weights that a base model must have with adapters merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.oracle.changes import Parts, new_weight
from tests.oracle.file import AdapterFile, Array
from tests.oracle.scales import scale


@dataclass(frozen=True)
class Rows:
    """Rows of a module's weight and bias.

    Attributes:
        module: its name, with the component in front.
        start: the first row.
        stop: the row after the last one; None is the end.
    """

    module: str
    start: int = 0
    stop: int | None = None


Layers = Mapping[str, tuple[Rows, ...]]
"""By name of a layer in a file: the rows of the base that are its rows, in order. A layer that holds query, key and
value has three; each of three layers that are one in the base has some rows of it."""

Merge = tuple[AdapterFile, Layers, float]
"""An adapter, what its layers are, and the strength."""

KINDS = {
    "lora_down": "down",
    "lora_A": "down",
    "lora.down": "down",
    "lora_linear_layer.down": "down",
    "lora_up": "up",
    "lora_B": "up",
    "lora.up": "up",
    "lora_linear_layer.up": "up",
    "lora_mid": "mid",
}
"""The same tensor under the names of several tools."""
BIASES = {"lora_B.bias", "lora_up.bias", "diff_b", "b_norm"}
READ = {
    *("down", "up", "mid", "dora_scale", "lora_magnitude_vector", "weight", "on_input", "ia3_l", "diff", "w_norm"),
    *("oft_blocks", "rescale", "a1", "a2", "b1", "b2"),
    *(f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")),
    *(f"lokr_{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")),
}
"""Kinds of tensors that mean something by themselves; an alpha only beside one of these."""


def parts_of(file: AdapterFile, layer: str) -> tuple[Parts, dict[str, Array]]:
    """The tensors of a layer by kind: those of its weight, and those of its bias."""
    own = {key.removeprefix(f"{layer}."): value for key, value in file.tensors.items() if key.startswith(f"{layer}.")}
    weights = {
        plain_name(kind): value for kind, value in own.items() if kind not in BIASES and not kind.endswith("bias")
    }
    return weights, {kind: own[kind] for kind in BIASES if kind in own}


def plain_name(kind: str) -> str:
    """A kind of tensor under one name."""
    if kind != "weight":
        kind = kind.removesuffix(".weight").removesuffix(".default")
    return KINDS.get(kind, kind)


def without_meaning(file: AdapterFile, layers: Layers) -> list[str]:
    """The keys of a file that belong to none of its layers, or say nothing of theirs."""
    known: set[str] = set()
    for layer in layers:
        kinds = [key.removeprefix(f"{layer}.") for key in file.tensors if key.startswith(f"{layer}.")]
        read = {kind for kind in kinds if kind in BIASES or plain_name(kind) in READ}
        known |= {f"{layer}.{kind}" for kind in (read | {"alpha"} if read else read)}
    return sorted(file.tensors.keys() - known)


def expected(base: Mapping[str, Array], merges: Iterable[Merge]) -> dict[str, Array]:
    """Every weight that changes. The change of each adapter is that of the pristine weight; they add up."""
    changed: dict[str, Array] = {}
    for file, layers, strength in merges:
        for layer, rows in layers.items():
            for kind, delta in changes(base, file, layer, rows, strength):
                spread(changed, base, rows, kind, delta)
    return changed


def changes(
    base: Mapping[str, Array], file: AdapterFile, layer: str, rows: tuple[Rows, ...], strength: float
) -> Iterable[tuple[str, Array]]:
    """What one layer adds to the rows of the base that it is."""
    weights, biases = parts_of(file, layer)
    factor = partial(scale, file, rows[0].module, weights.get("alpha"))
    if weights.keys() - {"alpha"}:
        pristine = gathered(base, rows, "weight")
        yield "weight", new_weight(pristine, weights, factor, strength) - pristine
    if "ia3_l" in weights and weights["ia3_l"].shape[0] > 1 and f"{rows[0].module}.bias" in base:
        pristine = gathered(base, rows, "bias")  # peft multiplies the outputs, which the bias is a part of
        yield "bias", strength * pristine * (weights["ia3_l"].reshape(-1) - 1)
    for kind, value in biases.items():
        of_product = kind in ("lora_B.bias", "lora_up.bias")
        yield "bias", strength * (factor(weights["down"].shape[0]) if of_product else 1.0) * value.reshape(-1)


def gathered(base: Mapping[str, Array], rows: tuple[Rows, ...], kind: str) -> Array:
    """A layer as the file's author had it."""
    return np.concatenate([base[f"{part.module}.{kind}"][part.start : part.stop] for part in rows])


def spread(
    changed: dict[str, Array], base: Mapping[str, Array], rows: tuple[Rows, ...], kind: str, delta: Array
) -> None:
    """Add the rows of a change where they belong."""
    first = 0
    for part in rows:
        name = f"{part.module}.{kind}"
        whole = changed.setdefault(name, base[name].copy())[part.start : part.stop]
        whole += delta[first : first + len(whole)]
        first += len(whole)
    assert first == len(delta), f"{rows} have {first} rows, the change has {len(delta)}"
