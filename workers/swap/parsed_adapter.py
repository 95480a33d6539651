"""An adapter as the merge engine needs it: the changes of each weight that it changes."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self, TypeAlias

import torch

from workers.swap.changes import Change, LowRank, norm_of

logger = logging.getLogger(__name__)

Changes: TypeAlias = Mapping[str, tuple[Change, ...]]
"""By name of the weight, with its component in front (``unet.conv_in.weight``): what is added to it, each from the
pristine weight, in whatever order."""

Allocate: TypeAlias = Callable[[int], torch.Tensor]
"""Gives a block of this many bytes."""

ALIGNMENT = 64
"""Bytes; as much as any device asks of a matrix."""


def private_block(size: int) -> torch.Tensor:
    """Memory of this process."""
    return torch.empty(size, dtype=torch.uint8)


def pinned_block(size: int) -> torch.Tensor:
    """Memory that a CUDA device reads at full speed, with no thread waiting; of the usual kind if there is no room."""
    try:
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)
    except RuntimeError as error:
        logger.warning("no room to pin %d bytes for an adapter: %s", size, error)
        return private_block(size)


@dataclass(frozen=True)
class Strength:
    """What the layers of an adapter are multiplied by at scale 1: alpha over rank.

    Attributes:
        lowest, highest: of all layers.
        alphas_from: where the alphas stand: in "tensors", in "metadata", or "nowhere", which is full strength.
    """

    lowest: float
    highest: float
    alphas_from: tuple[str, ...]


@dataclass(frozen=True)
class ParsedAdapter:
    """The changes of an adapter, for one pipeline.

    Attributes:
        changes: by weight.
        unmatched: the keys of the file that change nothing, and why.
        strength: None for formats that have none.
        memory: the bytes of which all its tensors are views, so that one copy takes them to a device.
    """

    changes: Changes
    unmatched: Mapping[str, str] = field(default_factory=dict)
    strength: Strength | None = None
    memory: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))

    @classmethod
    def packed(
        cls,
        changes: Changes,
        dtypes: Mapping[str, torch.dtype],
        allocate: Allocate = private_block,
    ) -> Self:
        """Copy the tensors of all changes into one block of memory. The pages of an adapter's file must not be kept:
        they change when the file does.

        Args:
            dtypes: of the weights, by name.
            allocate: returns a block of this many bytes.
        """
        sizes = [
            tensor.numel() * kept_dtype(change, tensor, dtypes[name]).itemsize
            for name, several in changes.items()
            for change in several
            for tensor in change.tensors
        ]
        starts = [0, *itertools.accumulate(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)]
        memory = allocate(starts[-1])
        places = iter(starts)

        def move(change: Change, weight_dtype: torch.dtype) -> Change:
            def transform(tensor: torch.Tensor) -> torch.Tensor:
                dtype = kept_dtype(change, tensor, weight_dtype)
                # By way of float32, since from float16 to bfloat16 torch goes number by number, four times as slowly.
                number = tensor if tensor.dtype == dtype else tensor.float()
                return view_as(tensor, dtype, memory, next(places)).copy_(number)

            return change.map_tensors(transform)

        moved = {name: tuple(move(change, dtypes[name]) for change in several) for name, several in changes.items()}
        return cls(moved, memory=memory)

    @property
    def bytes(self) -> int:
        """Size of its tensors in host memory."""
        return self.memory.nbytes

    @cached_property
    def peak(self) -> float:
        """A bound on what its low-rank products add to any value of a weight at scale 1: the factors' norms multiplied.

        What other changes add is measured when they are merged.
        """
        products = [change for change in self._every_change() if isinstance(change, LowRank)]
        factors = [factor for product in products for factor in product.tensors]
        norms = iter(torch._foreach_norm(factors) if factors else ())
        bounds = (abs(product.scale) * float(next(norms)) * float(next(norms)) for product in products)
        return max((math.inf if math.isnan(bound) else bound for bound in bounds), default=0.0)

    @cached_property
    def product_norms(self) -> Mapping[str, float]:
        """Frobenius norms of the changes at scale 1, of the weights to which it adds low-rank products alone."""
        products = {
            name: [change for change in several if isinstance(change, LowRank)]
            for name, several in self.changes.items()
        }
        return {name: norm_of(found) for name, found in products.items() if len(found) == len(self.changes[name])}

    def not_finite(self) -> str | None:
        """The name of a weight whose change has values that are not finite numbers; None if there is none."""
        norms = torch._foreach_norm([tensor for change in self._every_change() for tensor in change.tensors])
        scales = (scale for change in self._every_change() for scale in change.scales)
        if all(map(math.isfinite, map(float, norms))) and all(map(is_usable, scales)):
            return None
        broken = (name for name, several in self.changes.items() if not all(map(is_finite, several)))
        return next(broken, None)

    def _every_change(self) -> Iterator[Change]:
        for several in self.changes.values():
            yield from several

    def changes_on(self, device: torch.device) -> Changes:
        """The changes with their tensors on this device."""
        return self.changes if device == self.memory.device else self.within(self.memory.to(device, non_blocking=True))

    def within(self, memory: torch.Tensor) -> Changes:
        """The changes as views of a copy of their memory."""
        start = self.memory.data_ptr()

        def transform(tensor: torch.Tensor) -> torch.Tensor:
            return view_as(tensor, tensor.dtype, memory, tensor.data_ptr() - start)

        return {
            name: tuple(change.map_tensors(transform) for change in several) for name, several in self.changes.items()
        }


def kept_dtype(change: Change, tensor: torch.Tensor, weight_dtype: torch.dtype) -> torch.dtype:
    """The dtype in which a tensor is kept: of the weight for a low-rank product, since the fast passes take it so; else
    the file's own, if torch computes in it."""
    if isinstance(change, LowRank):
        return weight_dtype
    return tensor.dtype if tensor.dtype in COMPUTABLE else torch.float32


def is_usable(scale: float) -> bool:
    """Return whether a change may be multiplied by this in float32, and then by the scale of a job."""
    return abs(scale) < LARGEST_SCALE


def is_finite(change: Change) -> bool:
    """Return whether all its values are finite; the norm of a tensor may be too large without a value being so."""
    return all(map(is_usable, change.scales)) and all(tensor.isfinite().all() for tensor in change.tensors)


LARGEST_SCALE = 1e30

COMPUTABLE = (torch.float32, torch.float16, torch.bfloat16)


def view_as(tensor: torch.Tensor, dtype: torch.dtype, memory: torch.Tensor, start: int) -> torch.Tensor:
    """The bytes from ``start`` on as a tensor of this dtype and the same shape."""
    return memory[start : start + tensor.numel() * dtype.itemsize].view(dtype).view(tensor.shape)
