"""The change that a layer's tensors mean, in each format.

Sources: https://github.com/KohakuBlueleaf/LyCORIS (LoHa, LoKr, (IA)3, OFT, differences), https://github.com/huggingface/peft,
https://github.com/kohya-ss/sd-scripts (Tucker's ``lora_mid``, OFT). docs/adapters.md says what is read and what is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

from workers.adapters.file_layers import Kind
from workers.adapters.refusal import Refused
from workers.swap.changes import Change, Difference, Hadamard, Kronecker, LowRank, Replaced, Scaled
from workers.swap.whole_changes import Normalised, Rotated, cayley

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


def low_rank(parts: Parts, target: Target, scale: Scale) -> Change:
    """LoRA of a linear layer or a convolution; with ``lora_mid`` the core of a Tucker decomposition."""
    down, up = part(parts, Kind.DOWN, target), part(parts, Kind.UP, target)
    for kind, factor in ((Kind.DOWN, down), (Kind.UP, up)):
        if factor.ndim < 2 or not factor.numel():
            raise misfit(kind, factor, target)
    rank = down.shape[0]
    if Kind.MID in parts:
        down = with_core(parts[Kind.MID], down, target)
    if up.shape[0] != target.shape[0] or up.shape[1] != down.shape[0]:
        raise misfit(Kind.UP, up, target)
    if up.ndim > 2 and up.shape[2:].numel() > 1:
        return wide_up(down, up, scale(rank), target)
    return LowRank(fitted(Kind.DOWN, down, target), up.flatten(1), scale(rank))


def with_core(mid: torch.Tensor, down: torch.Tensor, target: Target) -> torch.Tensor:
    """A downward convolution of 1x1 and the core after it, as one convolution."""
    if mid.ndim < 2 or mid.shape[1] != down.shape[0] or down.shape[2:].numel() > 1:
        raise misfit(Kind.MID, mid, target)
    return torch.einsum("mn...,ni->mi...", mid.float(), down.flatten(1).float())


def wide_up(down: torch.Tensor, up: torch.Tensor, scale: float, target: Target) -> Change:
    """The product of a downward convolution of 1x1 and a larger upward one."""
    if down.shape[2:].numel() > 1 or up.shape[2:] != target.shape[2:] or down.shape[1] != target.shape[1]:
        raise misfit(Kind.UP, up, target)
    return Difference(torch.einsum("or...,ri->oi...", up.float(), down.flatten(1).float()), scale)


def fitted(kind: str, down: torch.Tensor, target: Target) -> torch.Tensor:
    """A factor with as many columns as the weight; a matrix may be stored as a 1x1 convolution, and the reverse.

    Raises:
        Refused: it has more or fewer columns.
    """
    if down.shape[1:].numel() == target.inputs:
        return down.flatten(1)
    kernel = down.shape[2:].numel()
    if target.may_pad and kernel == target.shape[2:].numel():
        missing = target.shape[1] - down.shape[1]
        if missing < 0:
            raise Refused(
                f"changes the shape of the base model's weights, as a Control LoRA does: its {target.name} takes "
                f"{down.shape[1]} inputs, and this base has {target.shape[1]}. Use the pipeline that it was made for."
            )
        nothing = down.new_zeros(len(down), missing, *down.shape[2:])
        return torch.cat([down, nothing], dim=1).flatten(1)
    raise misfit(kind, down, target)


def hadamard(parts: Parts, target: Target, scale: Scale) -> Change:
    """LoHa; with ``hada_t1`` and ``hada_t2`` the cores of Tucker decompositions."""
    factors = [part(parts, kind, target) for kind in (Kind.HADA_W1_A, Kind.HADA_W1_B, Kind.HADA_W2_A, Kind.HADA_W2_B)]
    if any(factor.ndim != 2 or not factor.numel() for factor in factors):
        raise misfit(Kind.HADA_W1_A, factors[0], target)
    up_1, down_1, up_2, down_2 = factors
    rank = down_1.shape[0]
    if Kind.HADA_T1 in parts or Kind.HADA_T2 in parts:
        up_1, down_1 = up_1.T, core(part(parts, Kind.HADA_T1, target), down_1, target)
        up_2, down_2 = up_2.T, core(part(parts, Kind.HADA_T2, target), down_2, target)
    for kind, up, down in ((Kind.HADA_W1_A, up_1, down_1), (Kind.HADA_W2_A, up_2, down_2)):
        if up.shape != (target.shape[0], down.shape[0]) or down.shape[1] != target.inputs:
            raise misfit(kind, up, target)
    return Hadamard(up_1, down_1, up_2, down_2, scale(rank))


def core(core_tensor: torch.Tensor, down: torch.Tensor, target: Target) -> torch.Tensor:
    """LyCORIS' core [rank, rank, height, width] and the factor after it [rank, channels], as one matrix."""
    if core_tensor.ndim < 2 or core_tensor.shape[1] != down.shape[0]:
        raise misfit("core", core_tensor, target)
    return torch.einsum("ij...,jr->ir...", core_tensor.float(), down.float()).flatten(1)


def kronecker(parts: Parts, target: Target, scale: Scale) -> Change:
    """LoKr, each factor whole or a product. Where both are whole, LyCORIS has no rank, and so no alpha counts."""
    left, right = factor_1(parts, target), factor_2(parts, target)
    if left.ndim != 2 or right.ndim < 2:
        raise misfit(Kind.LOKR_W1, left, target)
    columns = left.shape[1] * right.shape[1:].numel()
    if left.shape[0] * right.shape[0] != target.shape[0] or columns != target.inputs:
        raise Refused(
            f"was not made for this base model: its {target.name} is the Kronecker product of {tuple(left.shape)} and "
            f"{tuple(right.shape)}, and the weight there is {tuple(target.shape)}."
        )
    factored = ((Kind.LOKR_W2, Kind.LOKR_W2_B), (Kind.LOKR_W1, Kind.LOKR_W1_B))
    ranks = [parts[factor].shape[0] for whole, factor in factored if whole not in parts]
    return Kronecker(left, right, scale(ranks[0]) if ranks else 1.0)


def factor_1(parts: Parts, target: Target) -> torch.Tensor:
    """LoKr's first factor."""
    if Kind.LOKR_W1 in parts:
        return parts[Kind.LOKR_W1]
    return product(part(parts, Kind.LOKR_W1_A, target), part(parts, Kind.LOKR_W1_B, target), target)


def factor_2(parts: Parts, target: Target) -> torch.Tensor:
    """LoKr's second factor; of a convolution with its kernel."""
    if Kind.LOKR_W2 in parts:
        return parts[Kind.LOKR_W2]
    up, down = part(parts, Kind.LOKR_W2_A, target), part(parts, Kind.LOKR_W2_B, target)
    if up.ndim != 2 or down.ndim < 2:
        raise misfit(Kind.LOKR_W2_A, up, target)
    if Kind.LOKR_T2 in parts:
        middle = parts[Kind.LOKR_T2]
        if down.ndim != 2 or middle.ndim < 2 or middle.shape[0] != up.shape[0]:
            raise misfit(Kind.LOKR_T2, middle, target)
        return torch.einsum("ip,ic->pc", up.float(), core(middle, down, target)).view(
            up.shape[1], down.shape[1], *middle.shape[2:]
        )
    return product(up, down.flatten(1), target).view(up.shape[0], *down.shape[1:])


def product(up: torch.Tensor, down: torch.Tensor, target: Target) -> torch.Tensor:
    """Two factors multiplied."""
    if up.ndim != 2 or down.ndim != 2 or up.shape[1] != down.shape[0]:
        raise misfit(Kind.LOKR_W1_A, up, target)
    return up.float() @ down.float()


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


def embedding(parts: Parts, target: Target, scale: Scale) -> Change:
    """PEFT's LoRA of an embedding: [rank, words] and [width, rank], of a weight [words, width]."""
    first, second = part(parts, Kind.EMBEDDING_DOWN, target), part(parts, Kind.EMBEDDING_UP, target)
    if first.ndim != 2 or second.ndim != 2 or (first.shape[1], second.shape[0]) != tuple(target.shape):
        raise misfit(Kind.EMBEDDING_DOWN, first, target)
    return LowRank(second.T, first.T, scale(first.shape[0]))


def rotated(parts: Parts, target: Target, _: Scale) -> Change:
    """OFT and BOFT of LyCORIS and sd-scripts: the alpha bounds the rotation, for each output (0: no bound)."""
    blocks = parts[Kind.OFT_BLOCKS].float()
    is_square = blocks.ndim in (3, 4) and blocks.shape[-1] == blocks.shape[-2]
    if not is_square or len(target.shape) < 2 or outputs(parts) != target.shape[0]:
        raise misfit(Kind.OFT_BLOCKS, blocks, target)
    if not blocks.isfinite().all():
        raise Refused(f"has values that are not finite numbers, in {target.name}. Train or export it again.")
    is_butterfly = blocks.ndim == 4
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
