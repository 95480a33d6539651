"""The change that a layer's tensors mean, in each format.

Sources: https://github.com/KohakuBlueleaf/LyCORIS ((IA)3, OFT, BOFT, differences), https://github.com/huggingface/peft,
https://github.com/kohya-ss/sd-scripts (OFT). docs/adapters.md says what is read and what is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from workers.adapters.file_layers import Kind
from workers.adapters.products import embedding, hadamard, kronecker, low_rank
from workers.adapters.refusal import Refused
from workers.adapters.target import Parts, Scale, Target, misfit, part
from workers.swap.changes import Change, Difference, Replaced, Scaled
from workers.swap.whole_changes import Normalised, Rotated, cayley


def weight_changes(parts: Parts, target: Target, scale: Scale) -> Iterator[tuple[Change, frozenset[Kind]]]:
    """The changes of a layer's weight, and the kinds of tensors that each is made of.

    Raises:
        Refused: a tensor is missing, or has another shape than the weight wants.
    """
    if MAGNITUDES & parts.keys() and not any(shown_by & parts.keys() for shown_by, _, _ in FORMATS):
        raise Refused(f"has a magnitude for {target.name} and nothing beside it. Export it again.")
    for shown_by, uses, build in FORMATS:
        if shown_by & parts.keys():
            yield normalised(build(parts, target, scale), parts, target), uses | MAGNITUDES
    if Kind.WHOLE in parts and Kind.ON_INPUT not in parts and len(target.shape) == 1:
        yield replaced(parts[Kind.WHOLE], target), frozenset({Kind.WHOLE})


def bias_change(parts: Parts, target: Target, scale: Scale) -> Change | None:
    """The change of a layer's bias; None if it has none.

    Raises:
        Refused: it has another shape than the bias.
    """
    if Kind.UP_BIAS in parts:
        change: Change = Difference(parts[Kind.UP_BIAS].flatten(), scale(part(parts, Kind.DOWN, target).shape[0]))
    elif Kind.DIFF_BIAS in parts:
        change = Difference(parts[Kind.DIFF_BIAS].flatten())
    elif Kind.WHOLE_BIAS in parts and len(target.shape) == 1:
        change = Replaced(parts[Kind.WHOLE_BIAS].flatten())
    elif Kind.IA3 in parts and target.has_bias and not is_on_input(parts[Kind.IA3]):
        change = peft_ia3(parts, target, scale)
    else:
        return None
    value = change.tensors[0]
    if value.numel() != target.shape[0]:
        raise misfit("bias", value, target)
    return change


def outputs(parts: Parts) -> int | None:
    """How many rows the change of a layer has; None if its tensors do not say."""
    if Kind.ON_INPUT in parts:
        return None if parts[Kind.ON_INPUT].float().any() or Kind.WHOLE not in parts else parts[Kind.WHOLE].numel()
    for kind, axis in ROWS:
        if kind in parts and parts[kind].ndim > abs(axis):
            return parts[kind].shape[axis]
    if parts.keys() & {Kind.LOKR_W1, Kind.LOKR_W1_A}:
        left = parts.get(Kind.LOKR_W1, parts.get(Kind.LOKR_W1_A))
        right = parts.get(Kind.LOKR_W2, parts.get(Kind.LOKR_W2_A))
        if left is not None and right is not None and left.ndim > 1 and right.ndim > 1:
            return left.shape[0] * right.shape[1 if Kind.LOKR_T2 in parts else 0]
    if Kind.HADA_W1_A in parts and parts[Kind.HADA_W1_A].ndim > 1:
        return parts[Kind.HADA_W1_A].shape[1 if Kind.HADA_T1 in parts else 0]
    if (blocks := parts.get(Kind.OFT_BLOCKS)) is not None and blocks.ndim > 2:
        return blocks.shape[-3] * blocks.shape[-1]
    return None


ROWS = (
    (Kind.UP, 0),
    (Kind.DIFF, 0),
    (Kind.DIFF_BIAS, 0),
    (Kind.UP_BIAS, 0),
    (Kind.WHOLE, 0),
    (Kind.WHOLE_BIAS, 0),
    (Kind.EMBEDDING_DOWN, 1),
)
"""The axis of a tensor that counts the rows of its layer."""


def difference(parts: Parts, target: Target, _: Scale) -> Change:
    """A full difference, of a layer or a norm. No alpha counts."""
    value = parts[Kind.DIFF]
    if value.ndim < 1 or value.shape[0] != target.shape[0] or value.numel() != target.shape.numel():
        raise misfit(Kind.DIFF, value, target)
    return Difference(value)


def replaced(value: torch.Tensor, target: Target) -> Change:
    """A norm's weight in place of the base's own, as FLUX' Control LoRAs have them. Whole matrices are a checkpoint."""
    if value.shape != target.shape:
        raise misfit(Kind.WHOLE, value, target)
    return Replaced(value)


def lycoris_ia3(parts: Parts, target: Target, _: Scale) -> Change:
    """(IA)3 as LyCORIS writes it: what is added to a factor of 1."""
    if parts[Kind.ON_INPUT].numel() != 1:
        raise misfit(Kind.ON_INPUT, parts[Kind.ON_INPUT], target)
    return scaled(part(parts, Kind.WHOLE, target), target, on_input=bool(parts[Kind.ON_INPUT].float().any()))


def peft_ia3(parts: Parts, target: Target, _: Scale) -> Change:
    """(IA)3 as PEFT writes it: factors of a feed-forward layer's inputs, or of another's outputs, with their bias."""
    return scaled(parts[Kind.IA3].float() - 1, target, on_input=is_on_input(parts[Kind.IA3]))


def is_on_input(factors: torch.Tensor) -> bool:
    """Return whether PEFT's factors are of the inputs: [1, inputs], not [outputs, 1]."""
    return factors.ndim > 1 and factors.shape[0] == 1


def scaled(factors: torch.Tensor, target: Target, *, on_input: bool) -> Change:
    """Each output or each input times a factor."""
    if factors.numel() != target.shape[1 if on_input and len(target.shape) > 1 else 0]:
        raise misfit(Kind.WHOLE, factors, target)
    return Scaled(factors.flatten(), on_input)


def rotated(parts: Parts, target: Target, _: Scale) -> Change:
    """OFT and BOFT of LyCORIS and sd-scripts: the alpha bounds the rotation, for each output (0: no bound)."""
    blocks = parts[Kind.OFT_BLOCKS].float()
    is_square = blocks.ndim in (3, 4) and blocks.shape[-1] == blocks.shape[-2]
    if not is_square or len(target.shape) < 2 or outputs(parts) != target.shape[0]:
        raise misfit(Kind.OFT_BLOCKS, blocks, target)
    if not blocks.isfinite().all():
        raise Refused(f"has values that are not finite numbers, in {target.name}. Train or export it again.")
    is_butterfly = blocks.ndim == 4
    if is_butterfly and not can_change_places(target.shape[0], stages=blocks.shape[0], size=blocks.shape[-1]):
        raise misfit(Kind.OFT_BLOCKS, blocks, target)
    # LyCORIS turns rows by the transpose of its blocks in OFT, and by the blocks themselves in BOFT.
    skew = blocks - blocks.mT if is_butterfly else blocks.mT - blocks
    limit = float(parts[Kind.ALPHA].double()) * target.shape[0] if Kind.ALPHA in parts else 0.0
    length = float(torch.linalg.vector_norm(skew))
    if 0 < limit < length:
        skew = skew * (limit / length)
    rotations = cayley(skew)
    rescale = parts.get(Kind.RESCALE)
    if rescale is not None and rescale.numel() != target.shape[0]:
        raise misfit(Kind.RESCALE, rescale, target)
    stages = rotations if is_butterfly else rotations.unsqueeze(0)
    return Rotated(stages, None if rescale is None else rescale.flatten(), butterfly=is_butterfly)


def can_change_places(rows: int, *, stages: int, size: int) -> bool:
    """Return whether BOFT can pair rows in every stage: in each they are twice as far apart as in the one before."""
    return size % 2 == 0 and rows % (size // 2 << stages) == 0


def normalised(change: Change, parts: Parts, target: Target) -> Change:
    """The change with its magnitude, if it has one (DoRA).

    PEFT has one number for each output, in whatever shape; kohya and LyCORIS [outputs, 1] or [1, inputs].
    """
    magnitude = parts.get(Kind.MAGNITUDE)
    on_input = False
    if magnitude is None:
        magnitude = parts.get(Kind.DORA_SCALE)
        if magnitude is None:
            return change
        on_input = magnitude.ndim > 1 and magnitude.shape[0] == 1 != target.shape[0]
    if len(target.shape) < 2 or magnitude.numel() != target.shape[1 if on_input else 0]:
        raise misfit(Kind.DORA_SCALE, magnitude, target)
    return Normalised(change, magnitude.flatten(), on_input)


MAGNITUDES = frozenset({Kind.MAGNITUDE, Kind.DORA_SCALE})
LOKR = frozenset(
    {Kind.LOKR_W1, Kind.LOKR_W1_A, Kind.LOKR_W1_B, Kind.LOKR_W2, Kind.LOKR_W2_A, Kind.LOKR_W2_B, Kind.LOKR_T2}
)
HADA = frozenset({Kind.HADA_W1_A, Kind.HADA_W1_B, Kind.HADA_W2_A, Kind.HADA_W2_B, Kind.HADA_T1, Kind.HADA_T2})

FORMATS: tuple[tuple[frozenset[Kind], frozenset[Kind], Callable[[Parts, Target, Scale], Change]], ...] = tuple(
    (shown_by, shown_by | more, build)
    for shown_by, more, build in (
        (frozenset({Kind.DOWN, Kind.UP, Kind.MID}), {Kind.ALPHA}, low_rank),
        (HADA, {Kind.ALPHA}, hadamard),
        (LOKR, {Kind.ALPHA}, kronecker),
        (frozenset({Kind.OFT_BLOCKS}), {Kind.ALPHA, Kind.RESCALE}, rotated),
        (frozenset({Kind.EMBEDDING_DOWN, Kind.EMBEDDING_UP}), {Kind.ALPHA}, embedding),
        (frozenset({Kind.IA3}), set[Kind](), peft_ia3),
        (frozenset({Kind.DIFF}), {Kind.ALPHA}, difference),
        (frozenset({Kind.ON_INPUT}), {Kind.WHOLE, Kind.ALPHA}, lycoris_ia3),
    )
)
"""Of each format the tensors that show it, all that it is made of, and what makes the change of them."""
