"""Changes that see the weight as a whole: DoRA, and the rotations of OFT and BOFT."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from workers.swap.blocks import row_blocks
from workers.swap.changes import Change, along


@dataclass(frozen=True, eq=False)
class Normalised(Change):
    """DoRA, ``magnitude * V / |V| - W0`` where ``V = W0 + change`` (https://arxiv.org/abs/2402.09353).

    At a strength between 0 and 1 the weight lies on the line between W0 and the whole change, as in ComfyUI; PEFT and
    LyCORIS normalise what the scaled change makes of it, and so change the weight at strength 0.

    Attributes:
        change: the direction's, at its full strength.
        magnitude: the norm of each output, or of each input.
        on_input: it is of the inputs (of a convolution its channels), as older kohya and LyCORIS files have it with a
            ``dora_scale`` of [1, inputs].
        norm: of V's inputs, once it was measured.
    """

    change: Change
    magnitude: torch.Tensor
    on_input: bool = False
    norm: torch.Tensor | None = None

    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        whole = self.change.delta(pristine).add_(pristine)
        norm = squares(whole, self.on_input).sqrt() if self.norm is None else self.norm
        factors = self.magnitude.to(whole.dtype).flatten() / norm.clamp(min=TINY)
        return whole.mul_(along(factors, whole, self.on_input)).sub_(pristine)

    def measured(self, pristine: torch.Tensor) -> Normalised:
        if not self.on_input or self.norm is not None:
            return self
        sums = []
        for block in row_blocks(pristine):
            rows = self.change.rows(block.start, block.stop)
            if rows is None:
                return self
            exact = pristine[block].to(self.magnitude.device, torch.promote_types(torch.float32, pristine.dtype))
            sums.append(squares(rows.delta(exact).add_(exact), on_input=True))
        return replace(self, norm=torch.stack(sums).sum(0).sqrt())

    def rows(self, start: int, stop: int) -> Normalised | None:
        change = self.change.rows(start, stop)
        if change is None or (self.on_input and self.norm is None):
            return None
        return replace(self, change=change, magnitude=self.magnitude if self.on_input else self.magnitude[start:stop])


def squares(weight: torch.Tensor, on_input: bool) -> torch.Tensor:
    """The squared norm of each input or output."""
    if on_input:  # torch's own norm along rows takes twenty times as long on a CPU
        return weight.square().sum(0).view(weight.shape[1], -1).sum(1)
    return weight.flatten(1).square().sum(1)


TINY = torch.finfo(torch.float32).tiny
"""Of a row that has only zeros nothing is to be divided by zero."""


@dataclass(frozen=True, eq=False)
class Rotated(Change):
    """OFT and BOFT: the rows of the weight (or its columns) turned block by block, then each row scaled.

    Attributes:
        rotations: [stages, blocks, size, size]; of a block the new rows are ``rotation @ rows``. OFT has one stage.
        rescale: what each output is multiplied by at last; None for 1.
        butterfly: between the stages the rows change places, as LyCORIS has it (https://arxiv.org/abs/2311.06243).
        on_input: the columns are turned and not the rows, as PEFT does it; of a convolution they are channels times
            kernel.
    """

    rotations: torch.Tensor
    rescale: torch.Tensor | None = None
    butterfly: bool = False
    on_input: bool = False

    def delta(self, pristine: torch.Tensor) -> torch.Tensor:
        matrix = pristine.flatten(1)
        turned = self._turn(matrix.T).T if self.on_input else self._turn(matrix)
        if self.rescale is not None:
            turned = turned * self.rescale.to(turned.dtype).view(-1, 1)
        return (turned - matrix).reshape(pristine.shape)

    def rows(self, start: int, stop: int) -> Rotated | None:
        rescale = None if self.rescale is None else self.rescale.flatten()[start:stop]
        if self.on_input:
            return replace(self, rescale=rescale)
        size = self.rotations.shape[-1]
        if self.butterfly or start % size or stop % size:
            return None
        return replace(self, rotations=self.rotations[:, start // size : stop // size], rescale=rescale)

    def _turn(self, rows: torch.Tensor) -> torch.Tensor:
        for stage, blocks in enumerate(self.rotations.to(rows.dtype)):
            width = blocks.shape[-1] // 2 << stage
            placed = interleaved(rows, 2, width) if self.butterfly else rows
            turned = (blocks @ placed.reshape(*blocks.shape[:2], -1)).view(rows.shape)
            rows = interleaved(turned, width, 2) if self.butterfly else turned
        return rows


def interleaved(rows: torch.Tensor, groups: int, width: int) -> torch.Tensor:
    """The rows with each run of ``groups`` times ``width`` of them transposed."""
    return rows.reshape(-1, groups, width, rows.shape[1]).transpose(1, 2).reshape(rows.shape)


def cayley(skew: torch.Tensor) -> torch.Tensor:
    """The rotations ``(I + Q) (I - Q)^-1`` of skew-symmetric matrices Q [..., size, size]."""
    identity = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
    rotations: torch.Tensor = torch.linalg.solve(identity - skew, identity + skew, left=False)
    return rotations
