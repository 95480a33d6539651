"""Set one weight to its pristine value plus low-rank products, in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from workers.low_rank import Change, LowRank

Scaled = tuple[Change, float]
"""A change, and the scale of its adapter."""

BLOCK_ELEMENTS = 1 << 18
"""Large enough to keep every core busy, small enough to stay in its caches (measured: docs/decisions/0003)."""


def rewrite(weight: torch.Tensor, pristine: torch.Tensor, changes: Sequence[Scaled]) -> None:
    """``weight = pristine + sum of scale * change``. The weight is read never and written once.

    Args:
        weight: any floating-point dtype; of a convolution [outputs, channels, height, width].
        pristine: of the same shape and dtype, on the same device or in host memory.
        changes: at least one, on the weight's device.
    """
    products = [(change, scale) for change, scale in changes if isinstance(change, LowRank)]
    if len(products) < len(changes) or not weight.is_contiguous():
        rewrite_whole(weight, pristine, changes)
    elif weight.device.type == "cpu":
        rewrite_by_blocks(weight.flatten(1), pristine.flatten(1), products)
    else:
        rewrite_by_products(weight.flatten(1), pristine.flatten(1), products)


def rewrite_by_products(
    weight: torch.Tensor, pristine: torch.Tensor, products: Sequence[tuple[LowRank, float]]
) -> None:
    """One multiplication for each product; the first adds the pristine matrix on its way."""
    source = pristine if pristine.device == weight.device else weight.copy_(pristine, non_blocking=True)
    for product, scale in products:
        torch.addmm(source, product.up, product.down, alpha=scale * product.scale, out=weight)
        source = weight


def rewrite_by_blocks(weight: torch.Tensor, pristine: torch.Tensor, products: Sequence[tuple[LowRank, float]]) -> None:
    """The same a block of rows at a time, so that a block is still in the cache when its products are added.

    Half precision is computed in float32 and rounded once: a CPU without instructions for bfloat16 multiplies it nearly
    a hundred times slower than it copies.
    """
    rows = max(1, BLOCK_ELEMENTS // weight.shape[1])
    in_place = weight.dtype == torch.float32
    buffer = torch.empty(0 if in_place else min(rows, weight.shape[0]), weight.shape[1], dtype=torch.float32)
    for start in range(0, weight.shape[0], rows):
        target, source = weight[start : start + rows], pristine[start : start + rows]
        block = (target if in_place else buffer[: target.shape[0]]).copy_(source)
        for product, scale in products:
            block.addmm_(product.up[start : start + rows], product.down, alpha=scale * product.scale)
        if not in_place:
            target.copy_(block)


def rewrite_whole(weight: torch.Tensor, pristine: torch.Tensor, changes: Sequence[Scaled]) -> None:
    """For biases, and for weights that do not lie in rows (``channels_last``)."""
    weight.copy_(pristine, non_blocking=True)
    for change, scale in changes:
        value = (change.up @ change.down).view(weight.shape) if isinstance(change, LowRank) else change.value
        weight.add_(value, alpha=scale * change.scale)
