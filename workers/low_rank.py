"""An adapter as the merge engine needs it: a low-rank product for each weight that it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True)
class LowRank:
    """The change of one weight: ``scale * up @ down``, in the dtype in which this device multiplies.

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

    @cached_property
    def norm(self) -> float:
        """Frobenius norm of the change, from two small Gram matrices: |UD|^2 = trace(U'U DD')."""
        up, down = self.up.float(), self.down.float()
        squared = torch.sum((up.T @ up) * (down @ down.T))
        return abs(self.scale) * float(squared.clamp(min=0).sqrt())


@dataclass(frozen=True)
class Shift:
    """The change of one bias: ``scale * value``, with ``value`` [outputs]."""

    value: torch.Tensor
    scale: float

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The value alone."""
        return (self.value,)

    @cached_property
    def norm(self) -> float:
        """Euclidean norm of the change."""
        return abs(self.scale) * float(torch.linalg.vector_norm(self.value.float()))


Change = LowRank | Shift


@dataclass(frozen=True)
class ParsedAdapter:
    """What an adapter's file says, for one pipeline.

    Attributes:
        changes: by name of the weight, with its component in front (``unet.conv_in.weight``).
        unmatched: keys of the file for which the pipeline has no module.
        beyond: why the fast pass cannot merge it and diffusers' own loader must; None if it can.
    """

    changes: Mapping[str, Change]
    unmatched: tuple[str, ...] = ()
    beyond: str | None = None

    @cached_property
    def bytes(self) -> int:
        """Size of its tensors in host memory."""
        return sum(tensor.nbytes for change in self.changes.values() for tensor in change.tensors)
