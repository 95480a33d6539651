"""An adapter's file as layers: which modules it changes, with factors of which shapes, in which format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from tasks.adapters.file.safetensors import Shape


class Format(StrEnum):
    """The naming scheme of the layers in a file."""

    DIFFUSERS = "diffusers"
    """``unet.<module>.lora_A.weight``, as diffusers writes it now."""
    PEFT = "peft"
    """The same behind ``base_model.model.``, as peft alone writes it."""
    KOHYA = "kohya"
    """``lora_unet_<module>.lora_down.weight``, as sd-scripts and most trainers for one's own machine write it."""
    ATTENTION_PROCESSORS = "attention-processors"
    """``unet.<attention>.processor.to_q_lora.down.weight``, as diffusers wrote it before peft."""
    LOHA = "loha"
    """Hadamard products of low-rank products, by LyCORIS."""
    LOKR = "lokr"
    """Kronecker products, by LyCORIS."""
    OTHER = "other"
    """Low-rank factors under other names."""


class Kind(StrEnum):
    """The role of a tensor in its layer."""

    DOWN = "down"
    """The factor next to the input: [rank, inputs]."""
    UP = "up"
    """The factor next to the output: [outputs, rank]."""
    BIAS = "bias"
    ALPHA = "alpha"
    MAGNITUDE = "magnitude"
    """DoRA's length of each row."""
    HADAMARD = "hadamard"
    KRONECKER = "kronecker"


class Part(StrEnum):
    """A part of a pipeline that an adapter may change."""

    DENOISER = "denoiser"
    TEXT_ENCODER = "text encoder"


FACTORS = frozenset({Kind.DOWN, Kind.UP, Kind.HADAMARD, Kind.KRONECKER})


_OF_A_PROCESSOR = re.compile(
    r"(?P<attention>.+?)(?:\.processor)?\.to_(?P<role>q|k|v|out)_lora\.(?P<kind>down|up)\.weight"
)


_OF_A_MODULE = re.compile(
    r"""(?P<module>.+)\.(?:
    (?P<bias>lora_B\.bias)
    |(?P<down>lora_A|lora[._]down|lora_linear_layer\.down)
    |(?P<up>lora_B|lora[._]up|lora_linear_layer\.up)
    |(?P<alpha>alpha)
    |(?P<magnitude>lora_magnitude_vector|dora_scale)
    |(?P<hadamard>hada_[wt][12](?:_[ab])?)
    |(?P<kronecker>lokr_[wt][12](?:_[ab])?)
    )(?:\.weight)?""",
    re.VERBOSE,
)


_OTHER_CHANGE = re.compile(
    r"\.(lora_[AB]\.[^.]+\.weight|(down|up)\.weight|lora_mid\.weight|lora_embedding_[AB]|diff|diff_b|w_norm|b_norm"
    r"|on_input|ia3_l|oft_blocks|oft_diag|[^.]*norm[^.]*\.(weight|bias|scale))$"
)
"""Tensors of formats that only a worker reads."""


_KOHYA = re.compile(r"lora_(unet|te[12]?)_")


_TEXT_ENCODER = re.compile(r"(base_model\.model\.)?(text_encoder|text_model|lora_te)")


@dataclass(frozen=True)
class Layer:
    """The tensors of a file for one module.

    Attributes:
        name: of the module, as the file has it.
        shapes: of its tensors, by kind; of Hadamard and Kronecker factors the last one stands for all.
        keys: names of its tensors.
        of_a_processor: it is written the way of attention processors.
    """

    name: str
    shapes: dict[Kind, Shape] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    of_a_processor: bool = False

    @property
    def rank(self) -> int | None:
        """The rank of its low-rank product, where it is one."""
        down = self.shapes.get(Kind.DOWN)
        return down[0] if down else None

    @property
    def is_kohya_named(self) -> bool:
        return _KOHYA.match(self.name) is not None

    @property
    def part(self) -> Part:
        return Part.TEXT_ENCODER if _TEXT_ENCODER.match(self.name) else Part.DENOISER

    @property
    def factor_keys(self) -> list[str]:
        """Its tensors without the alpha and DoRA's magnitude, which loaders set apart."""
        return [key for key in self.keys if not key.endswith((".alpha", ".dora_scale"))]


@dataclass(frozen=True)
class AdapterLayers:
    """The layers of a file, by name.

    Attributes:
        other_keys: tensors that are not part of any kind of layer.
    """

    layers: Mapping[str, Layer]
    other_keys: tuple[str, ...]

    @property
    def has_factors(self) -> bool:
        """Return whether anything in it looks like a LoRA or one of its kin."""
        return any(FACTORS & layer.shapes.keys() for layer in self.layers.values()) or any(
            _OTHER_CHANGE.search(key) for key in self.other_keys
        )

    @property
    def format(self) -> Format:
        """The format that most of it is written in."""
        begins = self._begins_with
        tests = (
            (Format.LOHA, self.holds(Kind.HADAMARD)),
            (Format.LOKR, self.holds(Kind.KRONECKER)),
            (Format.KOHYA, self.is_kohya_named),
            (Format.ATTENTION_PROCESSORS, any(layer.of_a_processor for layer in self.layers.values())),
            (Format.PEFT, begins("base_model.model.")),
            (Format.DIFFUSERS, begins("unet.") or begins("transformer.") or begins("text_encoder")),
        )
        return next((name for name, holds in tests if holds), Format.OTHER)

    @property
    def is_kohya_named(self) -> bool:
        """Return whether every key is named as kohya names it, whatever the factors are."""
        return all(_KOHYA.match(key) for key in (*self.layers, *self.other_keys))

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that occur, the smallest first."""
        return tuple(sorted({layer.rank for layer in self.layers.values() if layer.rank}))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a pipeline that it changes."""
        found = {layer.part for layer in self.layers.values()}
        return tuple(part for part in Part if part in found)

    def holds(self, kind: Kind) -> bool:
        """Return whether a tensor of this kind is in it."""
        return any(kind in layer.shapes for layer in self.layers.values())

    def _begins_with(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self.layers)


def layers_of(shapes: Mapping[str, Shape]) -> AdapterLayers:
    """Sort the tensors of a file into layers."""
    layers: dict[str, Layer] = {}
    others: list[str] = []
    for key, shape in shapes.items():
        split = split_key(key)
        if split is None:
            others.append(key)
            continue
        name, kind, of_a_processor = split
        layer = layers.setdefault(name, Layer(name, of_a_processor=of_a_processor))
        layer.shapes[kind] = shape
        layer.keys.append(key)
    return AdapterLayers(layers, tuple(others))


def split_key(key: str) -> tuple[str, Kind, bool] | None:
    """The module of a tensor, what the tensor is to it, and whether it is written the way of attention processors."""
    found = _OF_A_PROCESSOR.fullmatch(key)
    if found is not None:
        return f"{found['attention']}.{projection(found['attention'], found['role'])}", Kind(found["kind"]), True
    found = _OF_A_MODULE.fullmatch(key)
    if found is None:
        return None
    return found["module"], Kind(str(found.lastgroup)), False


def projection(attention: str, role: str) -> str:
    """The module that an attention's layer changes, in a UNet or in a text encoder."""
    if attention.endswith("self_attn"):
        return f"{role}_proj"
    return "to_out.0" if role == "out" else f"to_{role}"


def bounded(words: Iterable[str], most: int, characters: int = 200) -> tuple[str, ...]:
    """The first of some words, each cut to a length that can be shown."""
    return tuple(word[:characters] for word in islice(words, most))
