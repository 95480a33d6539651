"""Put the changes of a file's layers where they belong in the base model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from workers.adapters.file_layers import Kind
from workers.adapters.formats import bias_change, weight_changes
from workers.adapters.pieces import Piece
from workers.adapters.refusal import Refused
from workers.adapters.scales import Scales, number
from workers.adapters.shell import LoaderShell
from workers.adapters.target import Parts, Target
from workers.swap.changes import Change, Placed

BIAS_KINDS = frozenset({Kind.UP_BIAS, Kind.DIFF_BIAS, Kind.WHOLE_BIAS})


class LayerReader:
    """Collects the changes of a file.

    Args:
        has_magnitudes: some of its layers have one.

    Attributes:
        changes: by name of the weight.
        scales: of the layers that have one.
        alphas_from: where their alphas stand: "tensors", "metadata", or "nowhere".
    """

    def __init__(self, shell: LoaderShell, scales: Scales, *, has_magnitudes: bool) -> None:
        self._shell = shell
        self._has_magnitudes = has_magnitudes
        self._scales = scales
        self._taken: dict[str, list[Piece]] = {}
        self.changes: dict[str, list[Change]] = {}
        self.scales: list[float] = []
        self.alphas_from: set[str] = set()

    def has(self, pieces: Sequence[Piece]) -> bool:
        """Return whether a layer was read already for some of these rows."""
        return any(overlaps(piece, other) for piece in pieces for other in self._taken.get(piece.module, ()))

    def read(self, parts: Parts, pieces: Sequence[Piece]) -> frozenset[Kind]:
        """Add what a layer changes, and return the kinds of tensors that were used for it.

        Raises:
            Refused: a tensor is missing, does not fit, or belongs to a weight that cannot be changed.
        """
        target = self._target(pieces)
        scale = self._scale(parts, pieces[0].module)
        used: frozenset[Kind] = frozenset()
        for change, kinds in weight_changes(parts, target, scale):
            self._place(change, pieces, "weight")
            used |= kinds
        if (of_bias := bias_change(parts, target, scale)) is not None:
            self._place(of_bias, pieces, "bias")
            used |= BIAS_KINDS | {Kind.ALPHA}
        if used:
            for piece in pieces:
                self._taken.setdefault(piece.module, []).append(piece)
        return used

    def _target(self, pieces: Sequence[Piece]) -> Target:
        module = pieces[0].module
        shapes = {piece.module: self._shell.shapes[piece.module] for piece in pieces}
        inputs = shapes[module][1:]
        rows = sum(piece.length for piece in pieces)
        own = rows if pieces[0].is_fused else sum(shape[0] for shape in shapes.values())
        if rows != own or any(shape[1:] != inputs for shape in shapes.values()):
            raise Refused(
                f"was not made for this base model: its layer of {module} has {rows} outputs, and this base has {own}."
            )
        has_bias = all(f"{piece.module}.bias" in self._shell.dtypes for piece in pieces)
        may_pad = self._shell.takes_image(module)
        return Target(module, torch.Size((rows, *inputs)), may_pad=may_pad, has_bias=has_bias)

    def _scale(self, parts: Parts, module: str) -> Callable[[int], float]:
        component, _, name = module.partition(".")
        declared = self._scales.of(component)
        if declared.is_dora and not self._has_magnitudes:
            raise Refused("says that it is a DoRA, and has no magnitude. Export it again.")
        own = number(name, parts[Kind.ALPHA]) if Kind.ALPHA in parts else None
        alpha = declared.alpha_of(name) if own is None else own

        def scale(rank: int) -> float:
            self.alphas_from.add("tensors" if own is not None else "metadata" if alpha is not None else "nowhere")
            self.scales.append(declared.scale(alpha, rank))
            return self.scales[-1]

        return scale

    def _place(self, change: Change, pieces: Sequence[Piece], kind: str) -> None:
        for piece, part in zip(pieces, self._cut(change, pieces), strict=True):
            name = f"{piece.module}.{kind}"
            if name not in self._shell.dtypes:
                raise Refused(f"has a {kind} for {piece.module}, which has none in this base model.")
            if name in self._shell.quantised:
                raise Refused(f"changes {name}, which is quantised in this base model, so that nothing can be merged.")
            rows = self._shell.shapes[piece.module][0]
            whole = piece.row == 0 and piece.length == rows
            place = part if whole else Placed(part, piece.row, piece.row + piece.length)
            self.changes.setdefault(name, []).append(place)

    def _cut(self, change: Change, pieces: Sequence[Piece]) -> Iterator[Change]:
        for piece in pieces:
            part = change if len(pieces) == 1 and piece.start == 0 else change.rows(piece.start, piece.stop)
            if part is None:
                raise Refused(
                    f"changes {piece.module} as a part of a larger layer, by a {type(change).__name__} change that "
                    "cannot be divided among the layers that this base model has in its place."
                )
            yield part


def overlaps(one: Piece, other: Piece) -> bool:
    """Return whether two pieces of one module have rows in common."""
    return one.row < other.row + other.length and other.row < one.row + one.length
