"""What an adapter does to one weight: ``W = W0 + strength * change.delta(W0)``, for every format there is.

The formats' own sources: https://github.com/KohakuBlueleaf/LyCORIS (LoHa, LoKr, (IA)3, DoRA and differences) and
https://github.com/huggingface/peft. Changes whose rows depend on one another are in ``whole_changes``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, TypeAlias

import torch

TensorMap: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Gives the same numbers somewhere else."""


@dataclass(frozen=True, eq=False)
class Change(ABC):
    """The change of one weight. Plain data: tensors, numbers and other changes."""

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Its tensors, and those of the changes that it holds, in the order of ``map_tensors``."""
        return tuple(part for part in self._parts() if isinstance(part, torch.Tensor))

    def map_tensors(self, transform: TensorMap) -> Self:
        """The same change, of moved tensors."""
        moved: dict[str, torch.Tensor | Change] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, torch.Tensor):
                moved[field.name] = transform(value)
            elif isinstance(value, Change):
                moved[field.name] = value.map_tensors(transform)
        return replace(self, **moved)

    @property
    def scales(self) -> tuple[float, ...]:
        """The numbers that it is multiplied by."""
        return tuple(part for part in self._parts() if isinstance(part, float))

    @abstractmethod
    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        """The whole change at strength 1, which at any other strength is as many times as much.

        Args:
            pristine: the weight as it was loaded, in the dtype to compute in; the result has its shape and dtype.
        """

    def measured(self, pristine: torch.Tensor) -> Change:
        """The same change, with what it must know of the whole weight to be taken row by row.

        Args:
            pristine: the weight as it was loaded, in any dtype and on any device.
        """
        del pristine
        return self

    @abstractmethod
    def rows(self, start: int, stop: int) -> Change | None:
        """The change of these rows (outputs) alone; None if it depends on other rows."""

    def _parts(self) -> Iterator[object]:
        for field in fields(self):
            part = getattr(self, field.name)
            if isinstance(part, Change):
                yield from part._parts()
            else:
                yield part


@dataclass(frozen=True, eq=False)
class LowRank(Change):
    """``scale * up @ down`` (https://arxiv.org/abs/2106.09685).

    Attributes:
        down: [rank, inputs]; of a convolution the inputs are channels times kernel.
        up: [outputs, rank].
        scale: alpha over rank (section 4.1).
    """

    down: torch.Tensor
    up: torch.Tensor
    scale: float = 1.0

    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        dtype = pristine.dtype
        return (self.up.to(dtype) @ self.down.to(dtype)).mul_(self.scale).view(pristine.shape)

    def rows(self, start: int, stop: int) -> LowRank:
        return replace(self, up=self.up[start:stop])


def norm_of(products: Sequence[LowRank]) -> float:
    """Frobenius norm of the sum of low-rank products, from two small Gram matrices: |UD|^2 = trace(U'U DD')."""
    up = torch.cat([product.up.float() * product.scale for product in products], dim=1)
    down = torch.cat([product.down.float() for product in products])
    return float(torch.sum((up.T @ up) * (down @ down.T)).clamp(min=0).sqrt())


@dataclass(frozen=True, eq=False)
class Hadamard(Change):
    """LoHa, ``scale * (up_1 @ down_1) * (up_2 @ down_2)`` number by number (https://arxiv.org/abs/2108.06098).

    Attributes:
        up_1, up_2: [outputs, rank].
        down_1, down_2: [rank, inputs]; of a convolution the inputs are channels times kernel.
    """

    up_1: torch.Tensor
    down_1: torch.Tensor
    up_2: torch.Tensor
    down_2: torch.Tensor
    scale: float = 1.0

    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        dtype = pristine.dtype
        first = (self.up_1.to(dtype) @ self.down_1.to(dtype)).mul_(self.scale)
        return first.mul_(self.up_2.to(dtype) @ self.down_2.to(dtype)).view(pristine.shape)

    def rows(self, start: int, stop: int) -> Hadamard:
        return replace(self, up_1=self.up_1[start:stop], up_2=self.up_2[start:stop])


@dataclass(frozen=True, eq=False)
class Kronecker(Change):
    """LoKr, ``scale * kron(left, right)``, or some of its rows (https://arxiv.org/abs/2309.14859, section 3.3).

    Attributes:
        left: [rows, columns].
        right: [rows, columns] or, of a convolution, [rows, columns, height, width].
        skip: rows of the product that come before the first row of the weight.
    """

    left: torch.Tensor
    right: torch.Tensor
    scale: float = 1.0
    skip: int = 0

    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        left, right = self.left.to(pristine.dtype) * self.scale, self.right.to(pristine.dtype).flatten(1)
        product = left[:, None, :, None] * right[None, :, None]
        rows = product.view(len(left) * len(right), -1)
        return rows[self.skip : self.skip + len(pristine)].reshape(pristine.shape)

    def rows(self, start: int, stop: int) -> Kronecker:
        start, stop = start + self.skip, stop + self.skip
        first = start // len(self.right)
        left = self.left[first : -(-stop // len(self.right))]
        return replace(self, left=left, skip=start - first * len(self.right))


@dataclass(frozen=True, eq=False)
class Difference(Change):
    """``scale * value``, number by number: of a weight, a bias, a norm or an embedding.

    Attributes:
        value: as many numbers as the weight, and as many rows.
    """

    value: torch.Tensor
    scale: float = 1.0

    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        return (self.value.to(pristine.dtype) * self.scale).reshape(pristine.shape)

    def rows(self, start: int, stop: int) -> Difference:
        return replace(self, value=self.value[start:stop])


@dataclass(frozen=True, eq=False)
class Replaced(Change):
    """Another value in place of the weight's, as Control LoRAs have of norms; at a strength between 0 and 1 in between.

    Attributes:
        value: of the weight's shape.
    """

    value: torch.Tensor

    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        return self.value.to(pristine.dtype).reshape(pristine.shape) - pristine

    def rows(self, start: int, stop: int) -> Replaced:
        return replace(self, value=self.value[start:stop])


@dataclass(frozen=True, eq=False)
class Scaled(Change):
    """(IA)3: each output or each input times ``1 + factors`` (https://arxiv.org/abs/2205.05638).

    Attributes:
        factors: one for each, as LyCORIS writes them: 0 leaves it alone. PEFT's are larger by 1.
        on_input: they are of the inputs (of a convolution its channels), not of the outputs.
    """

    factors: torch.Tensor
    on_input: bool

    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        return pristine * along(self.factors.to(pristine.dtype), pristine, self.on_input)

    def rows(self, start: int, stop: int) -> Scaled:
        return self if self.on_input else replace(self, factors=self.factors.flatten()[start:stop])


@dataclass(frozen=True, eq=False)
class Placed(Change):
    """A change of some rows of a larger weight, such as of the queries where the base has one layer for q, k and v.

    Attributes:
        change: of these rows alone.
        start, stop: the rows.
    """

    change: Change
    start: int
    stop: int

    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        result = torch.zeros_like(pristine)
        if self.start == self.stop:
            return result
        result[self.start : self.stop] = self.change.delta(pristine[self.start : self.stop])
        return result

    def rows(self, start: int, stop: int) -> Change | None:
        first, last = max(start, self.start), min(stop, self.stop)
        if first >= last:
            return Placed(self.change, 0, 0)
        inside = self.change.rows(first - self.start, last - self.start)
        return None if inside is None else Placed(inside, first - start, last - start)


def along(numbers: torch.Tensor, weight: torch.Tensor, on_input: bool) -> torch.Tensor:
    """Numbers of a weight's outputs or inputs, shaped so that they are taken along these."""
    return numbers.reshape(-1, *(1,) * (weight.ndim - (2 if on_input else 1)))
