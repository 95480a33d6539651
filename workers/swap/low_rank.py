"""An adapter as the merge engine needs it: a low-rank product for each weight that it changes."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Self, TypeAlias

import torch

logger = logging.getLogger(__name__)

TensorMap: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Gives the same numbers somewhere else."""


@dataclass(frozen=True)
class LowRank:
    """The change of one weight: ``scale * up @ down``.

    Attributes:
        down: [rank, inputs]; of a convolution the inputs are channels times kernel.
        up: [outputs, rank].
        scale: alpha over rank (https://arxiv.org/abs/2106.09685, section 4.1).
    """

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The factors: down, up."""
        return self.down, self.up

    def map_tensors(self, transform: TensorMap) -> Self:
        """The same change, of moved tensors."""
        return replace(self, down=transform(self.down), up=transform(self.up))

    @cached_property
    def norm(self) -> float:
        """Frobenius norm of the change, from two small Gram matrices: |UD|^2 = trace(U'U DD')."""
        up, down = self.up.float(), self.down.float()
        squared = torch.sum((up.T @ up) * (down @ down.T))
        return abs(self.scale) * float(squared.clamp(min=0).sqrt())


@dataclass(frozen=True)
class BiasDelta:
    """The change of one bias: ``scale * value``, with ``value`` [outputs]."""

    value: torch.Tensor
    scale: float

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The value alone."""
        return (self.value,)

    def map_tensors(self, transform: TensorMap) -> Self:
        """The same change, of moved tensors."""
        return replace(self, value=transform(self.value))

    @cached_property
    def norm(self) -> float:
        """Euclidean norm of the change."""
        return abs(self.scale) * float(torch.linalg.vector_norm(self.value.float()))


Change = LowRank | BiasDelta


ALIGNMENT = 64
"""Bytes; as much as any device asks of a matrix."""


@dataclass(frozen=True)
class ParsedAdapter:
    """The changes of an adapter, for one pipeline.

    Attributes:
        changes: by name of the weight, with its component in front (``unet.conv_in.weight``).
        unmatched: keys of the file for which the pipeline has no module.
        needs_diffusers: why the fast pass cannot merge it and diffusers' own loader must; None if it can.
        memory: the bytes of which all its tensors are views, so that one copy takes them to a device.
    """

    changes: Mapping[str, Change]
    unmatched: tuple[str, ...] = ()
    needs_diffusers: str | None = None
    memory: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))

    @classmethod
    def packed(
        cls,
        changes: Mapping[str, Change],
        dtypes: Mapping[str, torch.dtype],
        unmatched: tuple[str, ...] = (),
        *,
        pinned: bool = False,
    ) -> Self:
        """Copy the tensors of all changes into one block of memory. The pages of an adapter's file must not be kept:
        they change when the file does.

        Args:
            dtypes: by name of the weight, what its change is converted to.
            pinned: lock the block in memory if there is room, so that a CUDA device reads it at full speed and without
                anybody waiting.
        """
        sizes = [
            tensor.numel() * dtypes[name].itemsize for name, change in changes.items() for tensor in change.tensors
        ]
        starts = [0, *itertools.accumulate(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)]
        memory = block(starts[-1], pinned=pinned)
        places = iter(starts)

        def transform(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
            # By way of float32, since from float16 to bfloat16 torch goes number by number, four times as slowly.
            return view_as(tensor, dtype, memory, next(places)).copy_(tensor.float())

        moved = {name: change.map_tensors(partial(transform, dtype=dtypes[name])) for name, change in changes.items()}
        return cls(moved, unmatched, memory=memory)

    @property
    def bytes(self) -> int:
        """Size of its tensors in host memory."""
        return self.memory.nbytes

    @cached_property
    def peak(self) -> float:
        """A bound on what it adds to any value of a weight at scale 1: the product of its factors' norms."""
        norms = iter(torch._foreach_norm([tensor for change in self.changes.values() for tensor in change.tensors]))
        changes = (
            abs(change.scale) * math.prod(float(next(norms)) for _ in change.tensors)
            for change in self.changes.values()
        )
        return max((math.inf if math.isnan(change) else change for change in changes), default=0.0)

    def not_finite(self) -> str | None:
        """The name of a weight whose change has values that are not finite numbers; None if there is none."""
        if math.isfinite(self.peak):
            return None
        broken = (  # a norm may be too large without a value being so
            name
            for name, change in self.changes.items()
            if not all(tensor.isfinite().all() for tensor in change.tensors)
        )
        return next(broken, None)

    def changes_on(self, device: torch.device) -> Mapping[str, Change]:
        """The changes with their tensors on this device."""
        return self.changes if device == self.memory.device else self.within(self.memory.to(device, non_blocking=True))

    def within(self, memory: torch.Tensor) -> dict[str, Change]:
        """The changes as views of a copy of their memory."""
        start = self.memory.data_ptr()

        def transform(tensor: torch.Tensor) -> torch.Tensor:
            return view_as(tensor, tensor.dtype, memory, tensor.data_ptr() - start)

        return {name: change.map_tensors(transform) for name, change in self.changes.items()}


def view_as(tensor: torch.Tensor, dtype: torch.dtype, memory: torch.Tensor, start: int) -> torch.Tensor:
    """The bytes from ``start`` on as a tensor of this dtype and the same shape."""
    return memory[start : start + tensor.numel() * dtype.itemsize].view(dtype).view(tensor.shape)


def block(size: int, *, pinned: bool) -> torch.Tensor:
    """Host memory of this many bytes; pinned if that is asked for and there is room."""
    try:
        return torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
    except RuntimeError as error:
        if not pinned:
            raise
        logger.warning("no room to pin %d bytes for an adapter: %s", size, error)
        return torch.empty(size, dtype=torch.uint8)
