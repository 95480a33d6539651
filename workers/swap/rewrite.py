"""Set weights to their pristine values plus changes, in place, each in the fastest way that it allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from workers.swap.blocks import BLOCK_ELEMENTS, row_blocks
from workers.swap.changes import Change, LowRank
from workers.swap.kernel import Merge, MergeKernel


@dataclass(frozen=True)
class Addition:
    """What one adapter adds to a weight: so many times the sum of these changes.

    Attributes:
        file: SHA-256 of the adapter's file.
    """

    file: str
    changes: tuple[Change, ...]
    strength: float

    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        """The sum of the changes, at strength 1."""
        first, *others = self.changes
        delta = first.delta(pristine)
        for other in others:
            delta.add_(other.delta(pristine))
        return delta

    def measured(self, pristine: torch.Tensor) -> Addition:
        """The same, with what of it depends on the whole weight."""
        return replace(self, changes=tuple(change.measured(pristine) for change in self.changes))

    def rows(self, start: int, stop: int) -> Addition | None:
        """What is added to these rows; None if it depends on other rows."""
        parts = [part for change in self.changes if (part := change.rows(start, stop)) is not None]
        return replace(self, changes=tuple(parts)) if len(parts) == len(self.changes) else None


def rewrite(
    weights: Iterable[tuple[torch.Tensor, torch.Tensor, Sequence[Addition]]], kernel: MergeKernel | None
) -> list[list[torch.Tensor] | None]:
    """Make each of these weights its pristine value plus the additions. The weights are read never and written once.

    Args:
        weights: a weight of any floating-point dtype, of a convolution [outputs, channels, height, width]; its pristine
            copy, on the same device or in host memory; what is added, at least one, on the weight's device; the
            matrices of low-rank products in its dtype.
        kernel: for bfloat16 on a CPU, if there is one.

    Returns:
        For each weight None if only low-rank products were added, which know their norm; else of each addition the norm
        at strength 1.
    """
    fitting: list[Merge] = []
    norms: list[list[torch.Tensor] | None] = []
    for weight, pristine, additions in weights:
        products = as_products(additions) if weight.is_contiguous() and weight.ndim > 1 else None
        if products is None:
            norms.append(rewrite_in_float32(weight, pristine, additions))
            continue
        norms.append(None)
        merge = Merge(weight.flatten(1), pristine.flatten(1), products)
        if kernel and merge.fits_kernel:
            fitting.append(merge)
        elif weight.device.type == "cpu" and weight.dtype in (torch.bfloat16, torch.float16):
            rewrite_by_blocks(merge)
        else:
            rewrite_by_products(merge)
    if kernel and fitting:
        kernel.run(fitting)
    return norms


def as_products(additions: Sequence[Addition]) -> list[tuple[LowRank, float]] | None:
    """Every low-rank product with its strength; None if there is something else among the changes."""
    changes = [(change, addition.strength) for addition in additions for change in addition.changes]
    products = [(change, strength) for change, strength in changes if isinstance(change, LowRank)]
    return products if len(products) == len(changes) else None


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


def rewrite_in_float32(
    weight: torch.Tensor, pristine: torch.Tensor, additions: Sequence[Addition]
) -> list[torch.Tensor]:
    """For whatever is more than low-rank products: in float32 and rounded once.

    Returns:
        Of each addition the norm at strength 1.
    """
    dtype = torch.promote_types(torch.float32, weight.dtype)
    norms: list[list[torch.Tensor]] = [[] for _ in additions]
    for place, parts in parts_of(weight, pristine, with_factors_in(dtype, additions, weight.numel())):
        exact = pristine[place].to(weight.device, dtype)
        total = exact.clone()
        for addition, found in zip(parts, norms, strict=True):
            delta = addition.delta(exact)
            found.append(torch.linalg.vector_norm(delta, dtype=torch.float32))
            total.add_(delta, alpha=addition.strength)
        weight[place].copy_(total)
    return [torch.linalg.vector_norm(torch.stack(found)) for found in norms]


def with_factors_in(dtype: torch.dtype, additions: Sequence[Addition], size: int) -> list[Addition]:
    """The same with the tensors converted that are smaller than the weight: each block of rows needs them."""

    def convert(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(dtype) if tensor.numel() < size else tensor

    return [replace(one, changes=tuple(change.map_tensors(convert) for change in one.changes)) for one in additions]


def parts_of(
    weight: torch.Tensor, pristine: torch.Tensor, additions: Sequence[Addition]
) -> Iterator[tuple[slice, Sequence[Addition]]]:
    """Blocks of a weight's rows, and what is added to each; all rows at once where they depend on one another."""
    blocks = row_blocks(weight)
    if len(blocks) > 1:
        measured = [one.measured(pristine) for one in additions]
        parts = [[one.rows(block.start, block.stop) for one in measured] for block in blocks]
        found = [[part for part in several if part is not None] for several in parts]
        if all(len(several) == len(additions) for several in found):
            yield from zip(blocks, found, strict=True)
            return
    yield slice(0, len(weight)), additions
