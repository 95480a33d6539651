"""Changes that are products of a layer's tensors: LoRA, LoHa and LoKr, with the cores of Tucker decompositions.

Sources: https://github.com/KohakuBlueleaf/LyCORIS (LoHa, LoKr), https://github.com/huggingface/peft,
https://github.com/kohya-ss/sd-scripts (Tucker's ``lora_mid``).
"""

from __future__ import annotations

import torch

from workers.adapters.file_layers import Kind
from workers.adapters.refusal import Refused
from workers.adapters.target import Parts, Scale, Target, misfit, part
from workers.swap.changes import Change, Difference, Hadamard, Kronecker, LowRank


def low_rank(parts: Parts, target: Target, scale: Scale) -> Change:
    """LoRA of a linear layer or a convolution; with ``lora_mid`` the core of a Tucker decomposition."""
    down, up = part(parts, Kind.DOWN, target), part(parts, Kind.UP, target)
    for kind, factor in ((Kind.DOWN, down), (Kind.UP, up)):
        if factor.ndim < 2 or not factor.numel():
            raise misfit(kind, factor, target)
    rank = down.shape[0]
    if Kind.MID in parts:
        down = with_core(parts[Kind.MID], down, target)
    if up.shape[0] != target.shape[0] or up.shape[1] != down.shape[0]:
        raise misfit(Kind.UP, up, target)
    if up.ndim > 2 and up.shape[2:].numel() > 1:
        return wide_up(down, up, scale(rank), target)
    return LowRank(fitted(Kind.DOWN, down, target), up.flatten(1), scale(rank))


def with_core(mid: torch.Tensor, down: torch.Tensor, target: Target) -> torch.Tensor:
    """A downward convolution of 1x1 and the core after it, as one convolution."""
    if mid.ndim < 2 or mid.shape[1] != down.shape[0] or down.shape[2:].numel() > 1:
        raise misfit(Kind.MID, mid, target)
    return torch.einsum("mn...,ni->mi...", mid.float(), down.flatten(1).float())


def wide_up(down: torch.Tensor, up: torch.Tensor, scale: float, target: Target) -> Change:
    """The product of a downward convolution of 1x1 and a larger upward one."""
    if down.shape[2:].numel() > 1 or up.shape[2:] != target.shape[2:] or down.shape[1] != target.shape[1]:
        raise misfit(Kind.UP, up, target)
    return Difference(torch.einsum("or...,ri->oi...", up.float(), down.flatten(1).float()), scale)


def fitted(kind: str, down: torch.Tensor, target: Target) -> torch.Tensor:
    """A factor with as many columns as the weight; a matrix may be stored as a 1x1 convolution, and the reverse.

    Raises:
        Refused: it has more or fewer columns.
    """
    if down.shape[1:].numel() == target.inputs:
        return down.flatten(1)
    kernel = down.shape[2:].numel()
    if target.may_pad and kernel == target.shape[2:].numel():
        missing = target.shape[1] - down.shape[1]
        if missing < 0:
            raise Refused(
                f"changes the shape of the base model's weights, as a Control LoRA does: its {target.name} takes "
                f"{down.shape[1]} inputs, and this base has {target.shape[1]}. Use the pipeline that it was made for."
            )
        nothing = down.new_zeros(len(down), missing, *down.shape[2:])
        return torch.cat([down, nothing], dim=1).flatten(1)
    raise misfit(kind, down, target)


def hadamard(parts: Parts, target: Target, scale: Scale) -> Change:
    """LoHa; with ``hada_t1`` and ``hada_t2`` the cores of Tucker decompositions."""
    factors = [part(parts, kind, target) for kind in (Kind.HADA_W1_A, Kind.HADA_W1_B, Kind.HADA_W2_A, Kind.HADA_W2_B)]
    if any(factor.ndim != 2 or not factor.numel() for factor in factors):
        raise misfit(Kind.HADA_W1_A, factors[0], target)
    up_1, down_1, up_2, down_2 = factors
    rank = down_1.shape[0]
    if Kind.HADA_T1 in parts or Kind.HADA_T2 in parts:
        up_1, down_1 = up_1.T, core(part(parts, Kind.HADA_T1, target), down_1, target)
        up_2, down_2 = up_2.T, core(part(parts, Kind.HADA_T2, target), down_2, target)
    for kind, up, down in ((Kind.HADA_W1_A, up_1, down_1), (Kind.HADA_W2_A, up_2, down_2)):
        if up.shape != (target.shape[0], down.shape[0]) or down.shape[1] != target.inputs:
            raise misfit(kind, up, target)
    return Hadamard(up_1, down_1, up_2, down_2, scale(rank))


def core(core_tensor: torch.Tensor, down: torch.Tensor, target: Target) -> torch.Tensor:
    """LyCORIS' core [rank, rank, height, width] and the factor after it [rank, channels], as one matrix."""
    if core_tensor.ndim < 2 or core_tensor.shape[1] != down.shape[0]:
        raise misfit("core", core_tensor, target)
    return torch.einsum("ij...,jr->ir...", core_tensor.float(), down.float()).flatten(1)


def kronecker(parts: Parts, target: Target, scale: Scale) -> Change:
    """LoKr, each factor whole or a product. Where both are whole, LyCORIS has no rank, and so no alpha counts."""
    left, right = factor_1(parts, target), factor_2(parts, target)
    if left.ndim != 2 or right.ndim < 2:
        raise misfit(Kind.LOKR_W1, left, target)
    columns = left.shape[1] * right.shape[1:].numel()
    if left.shape[0] * right.shape[0] != target.shape[0] or columns != target.inputs:
        raise Refused(
            f"was not made for this base model: its {target.name} is the Kronecker product of {tuple(left.shape)} and "
            f"{tuple(right.shape)}, and the weight there is {tuple(target.shape)}."
        )
    factored = ((Kind.LOKR_W2, Kind.LOKR_W2_B), (Kind.LOKR_W1, Kind.LOKR_W1_B))
    ranks = [parts[factor].shape[0] for whole, factor in factored if whole not in parts]
    return Kronecker(left, right, scale(ranks[0]) if ranks else 1.0)


def factor_1(parts: Parts, target: Target) -> torch.Tensor:
    """LoKr's first factor."""
    if Kind.LOKR_W1 in parts:
        return parts[Kind.LOKR_W1]
    return product(part(parts, Kind.LOKR_W1_A, target), part(parts, Kind.LOKR_W1_B, target), target)


def factor_2(parts: Parts, target: Target) -> torch.Tensor:
    """LoKr's second factor; of a convolution with its kernel."""
    if Kind.LOKR_W2 in parts:
        return parts[Kind.LOKR_W2]
    up, down = part(parts, Kind.LOKR_W2_A, target), part(parts, Kind.LOKR_W2_B, target)
    if up.ndim != 2 or down.ndim < 2:
        raise misfit(Kind.LOKR_W2_A, up, target)
    if Kind.LOKR_T2 in parts:
        middle = parts[Kind.LOKR_T2]
        if down.ndim != 2 or middle.ndim < 2 or middle.shape[0] != up.shape[0]:
            raise misfit(Kind.LOKR_T2, middle, target)
        return torch.einsum("ip,ic->pc", up.float(), core(middle, down, target)).view(
            up.shape[1], down.shape[1], *middle.shape[2:]
        )
    return product(up, down.flatten(1), target).view(up.shape[0], *down.shape[1:])


def product(up: torch.Tensor, down: torch.Tensor, target: Target) -> torch.Tensor:
    """Two factors multiplied."""
    if up.ndim != 2 or down.ndim != 2 or up.shape[1] != down.shape[0]:
        raise misfit(Kind.LOKR_W1_A, up, target)
    return up.float() @ down.float()


def embedding(parts: Parts, target: Target, scale: Scale) -> Change:
    """PEFT's LoRA of an embedding: [rank, words] and [width, rank], of a weight [words, width]."""
    first, second = part(parts, Kind.EMBEDDING_DOWN, target), part(parts, Kind.EMBEDDING_UP, target)
    if first.ndim != 2 or second.ndim != 2 or (first.shape[1], second.shape[0]) != tuple(target.shape):
        raise misfit(Kind.EMBEDDING_DOWN, first, target)
    return LowRank(second.T, first.T, scale(first.shape[0]))
