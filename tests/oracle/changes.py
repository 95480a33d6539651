"""The weight of one layer after an adapter, by the definition of each format."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.oracle.file import Array

Parts = Mapping[str, Array]
"""The tensors of one layer by kind."""


def array(value: object) -> Array:
    """The same numbers, of one type to a checker."""
    return np.asarray(value, np.float64)


def product(up: Array, down: Array, mid: Array | None, shape: tuple[int, ...]) -> Array:
    """LoRA (https://arxiv.org/abs/2106.09685), of a convolution too, and with a core between the factors (Tucker)."""
    if mid is not None:
        whole = np.einsum("mn...,im,nj->ij...", mid, up.reshape(up.shape[0], -1), down.reshape(down.shape[0], -1))
    elif up.ndim > 2 and up.shape[2:] != (1, 1):
        whole = np.einsum("or...,ri->oi...", up, down.reshape(down.shape[0], -1))
    else:
        whole = up.reshape(up.shape[0], -1) @ down.reshape(down.shape[0], -1)
    return array(whole).reshape(shape)


def loha(parts: Parts, shape: tuple[int, ...]) -> Array:
    """Hadamard product of two low-rank products (https://arxiv.org/abs/2108.06098)."""

    def half(number: str) -> Array:
        first, second = parts[f"hada_w{number}_a"], parts[f"hada_w{number}_b"]
        core = parts.get(f"hada_t{number}")
        return array(first @ second if core is None else np.einsum("ij...,jr,ip->pr...", core, second, first))

    return (half("1") * half("2")).reshape(shape)


def lokr(parts: Parts, shape: tuple[int, ...]) -> Array:
    """Kronecker product (https://arxiv.org/abs/2212.10650), each factor whole or itself a product."""
    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        second = np.einsum("ij...,ip,jr->pr...", parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"])
    else:
        second = parts["lokr_w2_a"] @ parts["lokr_w2_b"].reshape(len(parts["lokr_w2_b"]), -1)
    return array(np.kron(first.reshape(*first.shape, *[1] * (second.ndim - 2)), second)).reshape(shape)


def rank(parts: Parts) -> int | None:
    """Of the factors; None where there is nothing of low rank, and no alpha counts."""
    for kind in ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if kind in parts:
            return int(parts[kind].shape[0])
    return None


def rotation(blocks: Array, limit: float) -> Array:
    """Orthogonal blocks from any square ones: Cayley's transform of their skew parts, not longer than the limit."""
    skew = blocks - np.swapaxes(blocks, -1, -2)
    length = float(np.linalg.norm(skew))
    if 0 < limit < length:
        skew = skew * (limit / length)
    unit = np.eye(skew.shape[-1])
    return array((unit + skew) @ np.linalg.inv(unit - skew))


def oft(weight: Array, blocks: Array, limit: float) -> Array:
    """Each block of outputs rotated (https://arxiv.org/abs/2306.07280), as LyCORIS and sd-scripts store it."""
    number, size, _ = blocks.shape
    rows = weight.reshape(number, size, -1)
    return array(np.einsum("knm,knc->kmc", rotation(blocks, limit), rows)).reshape(weight.shape)


def boft(weight: Array, stages: Array, limit: float) -> Array:
    """Rotations in stages, each of outputs twice as far apart (https://arxiv.org/abs/2311.06243), as LyCORIS stores
    it."""
    size = stages.shape[-1]
    for stage, blocks in enumerate(rotation(stages, limit)):
        apart = 2**stage * size // 2
        order = np.arange(weight.shape[0]).reshape(-1, 2, apart).swapaxes(1, 2).reshape(-1)
        rows = weight[order].reshape(len(blocks), size, -1)
        changed = np.empty_like(weight)
        changed[order] = np.einsum("kij,kjc->kic", blocks, rows).reshape(weight.shape)
        weight = changed
    return weight


def glora(weight: Array, parts: Parts) -> Array:
    """LyCORIS' GLoRA (https://arxiv.org/abs/2306.07967): W + W A + B."""
    a1, a2, b1, b2 = (parts[name].reshape(parts[name].shape[0], -1) for name in ("a1", "a2", "b1", "b2"))
    mixed = np.einsum("oi...,ij->oj...", weight, a1 @ a2)
    return array(mixed + (b1 @ b2).reshape(weight.shape))


def dora(changed: Array, magnitude: Array, *, by_output: bool) -> Array:
    """A weight with each row's norm, or with each column's, set (https://arxiv.org/abs/2402.09353)."""
    axes = tuple(axis for axis in range(changed.ndim) if axis != (0 if by_output else 1))
    norm = np.sqrt(np.sum(changed**2, axis=axes, keepdims=True))
    return array(changed * (magnitude.reshape(norm.shape) / norm))


def new_weight(weight: Array, parts: Parts, scale: Callable[[int], float], strength: float) -> Array:
    """A weight with one layer of an adapter. Every format is a change that is as many times as much as the strength.

    Args:
        scale: of a low-rank product, by its rank.
    """
    delta = rotated(weight, parts) - weight if "oft_blocks" in parts else additive(weight, parts, scale)
    if "dora_scale" in parts:  # sd-scripts and LyCORIS: [out, 1, ...] or [1, in, ...]
        by_output = parts["dora_scale"].shape[0] == len(weight)
        delta = dora(weight + delta, parts["dora_scale"], by_output=by_output) - weight
    if "lora_magnitude_vector" in parts:  # peft: [out], of a convolution [1, out, 1, 1]
        delta = dora(weight + delta, parts["lora_magnitude_vector"], by_output=True) - weight
    return weight + strength * delta


def rotated(weight: Array, parts: Parts) -> Array:
    """OFT by blocks of three dimensions, BOFT by stages of four; the alpha is the longest rotation for each output."""
    blocks = parts["oft_blocks"]
    limit = float(parts["alpha"].reshape(-1)[0]) * weight.shape[0] if "alpha" in parts else 0.0
    turned = boft(weight, blocks, limit) if blocks.ndim == 4 else oft(weight, blocks, limit)
    return turned * parts.get("rescale", np.ones(1)).reshape(-1, *[1] * (weight.ndim - 1))


def additive(weight: Array, parts: Parts, scale: Callable[[int], float]) -> Array:
    """The change of a weight at strength 1."""
    for kind in ("diff", "w_norm"):
        if kind in parts:
            return parts[kind].reshape(weight.shape)
    if "on_input" in parts or "ia3_l" in parts:
        return weight * factors_less_one(weight, parts)
    if "a1" in parts:
        return scale(parts["a2"].shape[0]) * glora(weight, parts)
    return (1.0 if (size := rank(parts)) is None else scale(size)) * low_rank(parts, weight.shape)


def factors_less_one(weight: Array, parts: Parts) -> Array:
    """(IA)3 (https://arxiv.org/abs/2205.05638). LyCORIS stores what is added to 1, peft the factors, [out, 1] or
    [1, in]."""
    if "ia3_l" in parts:
        on_input, factors = parts["ia3_l"].shape[0] == 1 < parts["ia3_l"].ndim, parts["ia3_l"] - 1
    else:
        on_input, factors = bool(parts["on_input"].reshape(-1)[0]), parts["weight"]
    return factors.reshape(*((1, -1) if on_input else (-1, 1)), *[1] * (weight.ndim - 2))


def low_rank(parts: Parts, shape: tuple[int, ...]) -> Array:
    """LoHa, LoKr or LoRA, without its scale."""
    if "hada_w1_a" in parts:
        return loha(parts, shape)
    if "lokr_w1" in parts or "lokr_w1_a" in parts:
        return lokr(parts, shape)
    return product(parts["up"], parts["down"], parts.get("mid"), shape)
