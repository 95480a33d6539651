"""Set weights to their pristine values plus low-rank products, in place, each in the fastest way that it allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from workers.swap.kernel import Merge, MergeKernel
from workers.swap.low_rank import Change, LowRank

Scaled = tuple[Change, float]
"""A change, and the scale of its adapter."""

BLOCK_ELEMENTS = 1 << 18
"""Large enough to keep every core busy, small enough to stay in its caches (measured: docs/decisions/0003)."""


def rewrite(weights: Iterable[tuple[torch.Tensor, torch.Tensor, Sequence[Scaled]]], kernel: MergeKernel | None) -> None:
    """``weight = pristine + sum of scale * change`` for each of these. The weights are read never and written once.

    Args:
        weights: a weight of any floating-point dtype, of a convolution [outputs, channels, height, width]; its pristine
            copy, on the same device or in host memory; its changes, at least one, of its dtype and on its device.
        kernel: for bfloat16 on a CPU, if there is one.
    """
    fitting = []
    for weight, pristine, changes in weights:
        products = [(change, scale) for change, scale in changes if isinstance(change, LowRank)]
        if len(products) < len(changes) or not weight.is_contiguous():
            rewrite_whole(weight, pristine, changes)
            continue
        merge = Merge(weight.flatten(1), pristine.flatten(1), products)
        if kernel and merge.fits_kernel:
            fitting.append(merge)
        elif weight.device.type == "cpu" and weight.dtype in (torch.bfloat16, torch.float16):
            rewrite_by_blocks(merge)
        else:
            rewrite_by_products(merge)
    if kernel and fitting:
        kernel.run(fitting)


def rewrite_by_products(merge: Merge) -> None:
    """One multiplication for each product; the first adds the pristine matrix on its way."""
    weight, source = merge.weight, merge.pristine
    if source.device != weight.device:
        source = weight.copy_(source, non_blocking=True)
    for product, scale in merge.products:
        torch.addmm(source, product.up, product.down, alpha=scale * product.scale, out=weight)
        source = weight


def rewrite_by_blocks(merge: Merge) -> None:
    """The same in float32 and rounded once, a block of rows at a time, so that a block is still in the cache when its
    products are added. A CPU without instructions for half precision multiplies it a hundred times slower."""
    rows, columns = merge.weight.shape
    step = max(1, BLOCK_ELEMENTS // columns)
    buffer = torch.empty(min(step, rows), columns, dtype=torch.float32)
    products = [(product.up.float(), product.down.float(), scale * product.scale) for product, scale in merge.products]
    for start in range(0, rows, step):
        target = merge.weight[start : start + step]
        block = buffer[: target.shape[0]].copy_(merge.pristine[start : start + step])
        for up, down, scale in products:
            block.addmm_(up[start : start + step], down, alpha=scale)
        target.copy_(block)


def rewrite_whole(weight: torch.Tensor, pristine: torch.Tensor, changes: Sequence[Scaled]) -> None:
    """For biases, and for weights that do not lie in rows (``channels_last``)."""
    weight.copy_(pristine, non_blocking=True)
    for change, scale in changes:
        value = (change.up @ change.down).view(weight.shape) if isinstance(change, LowRank) else change.value
        weight.add_(value, alpha=scale * change.scale)
