"""The weight that a layer of a file changes, and the tensors of the layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from workers.adapters.file_layers import Kind
from workers.adapters.refusal import Refused

Parts = Mapping[Kind, torch.Tensor]
Scale = Callable[[int], float]
"""The strength of a product, from its rank."""


@dataclass(frozen=True)
class Target:
    """The weight that a layer changes, as the file's author had it: of several layers of the base where these are one
    in the file.

    Attributes:
        name: of the module.
        shape: of the weight; of a convolution [outputs, channels, height, width].
        may_pad: it takes the image: a base that is told more than that has more inputs, which the file leaves alone.
        has_bias: it has a bias beside it.
    """

    name: str
    shape: torch.Size
    may_pad: bool = False
    has_bias: bool = False

    @property
    def inputs(self) -> int:
        """Columns of the weight as a matrix."""
        return self.shape[1:].numel()


def part(parts: Parts, kind: Kind, target: Target) -> torch.Tensor:
    """One of a layer's tensors.

    Raises:
        Refused: it is not there.
    """
    if kind not in parts:
        raise Refused(f"lacks {target.name} ({kind}). Export it again.")
    return parts[kind]


def misfit(kind: str, value: torch.Tensor, target: Target) -> Refused:
    """The refusal of a tensor that does not fit."""
    return Refused(
        f"was not made for this base model: its {target.name} ({kind}) is {tuple(value.shape)}, and the weight there "
        f"is {tuple(target.shape)}."
    )
