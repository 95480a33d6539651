"""The tensors of an adapter's file, grouped by the layer that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """The part that a tensor has in the change of its layer."""

    DOWN = "down"
    UP = "up"
    MID = "mid"
    UP_BIAS = "bias of up"
    ALPHA = "alpha"
    MAGNITUDE = "lora_magnitude_vector"
    DORA_SCALE = "dora_scale"
    EMBEDDING_DOWN = "down of an embedding"
    EMBEDDING_UP = "up of an embedding"
    HADA_W1_A = "hada_w1_a"
    HADA_W1_B = "hada_w1_b"
    HADA_W2_A = "hada_w2_a"
    HADA_W2_B = "hada_w2_b"
    HADA_T1 = "hada_t1"
    HADA_T2 = "hada_t2"
    LOKR_W1 = "lokr_w1"
    LOKR_W1_A = "lokr_w1_a"
    LOKR_W1_B = "lokr_w1_b"
    LOKR_W2 = "lokr_w2"
    LOKR_W2_A = "lokr_w2_a"
    LOKR_W2_B = "lokr_w2_b"
    LOKR_T2 = "lokr_t2"
    ON_INPUT = "on_input"
    IA3 = "ia3_l"
    OFT_BLOCKS = "oft_blocks"
    RESCALE = "rescale"
    DIFF = "diff"
    DIFF_BIAS = "diff_b"
    WHOLE = "weight"
    WHOLE_BIAS = "bias"


ALIASES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.DOWN: "lora_down.weight lora_A.weight lora.down.weight lora_linear_layer.down.weight down.weight lora_A",
        Kind.UP: "lora_up.weight lora_B.weight lora.up.weight lora_linear_layer.up.weight up.weight lora_B",
        Kind.MID: "lora_mid.weight",
        Kind.UP_BIAS: "lora_up.bias lora_B.bias lora.up.bias",
        Kind.MAGNITUDE: "lora_magnitude_vector lora_magnitude_vector.weight",
        Kind.EMBEDDING_DOWN: "lora_embedding_A lora_embedding_A.weight",
        Kind.EMBEDDING_UP: "lora_embedding_B lora_embedding_B.weight",
        Kind.OFT_BLOCKS: "oft_blocks oft_diag",
        Kind.DIFF: "diff w_norm",
        Kind.DIFF_BIAS: "diff_b b_norm",
        Kind.WHOLE: "weight scale",
    }
)
"""How the formats write each kind, where it is not its own name alone."""

ENDINGS: Mapping[str, Kind] = MappingProxyType(
    {ending: kind for kind in Kind for ending in ALIASES.get(kind, kind.value).split()}
)
NAMED = frozenset(ending.partition(".")[0] for ending in ENDINGS if ending.startswith(("lora_", "hada_", "lokr_")))
"""After these PEFT may have written the adapter's name, ``default`` if it has none."""


@dataclass(frozen=True)
class FileLayer:
    """A layer as the file names it.

    Attributes:
        name: what stands in front of the kinds of its tensors.
        keys: the file's keys by kind.
    """

    name: str
    keys: Mapping[Kind, str]


@dataclass(frozen=True)
class Grouping:
    """The keys of a file.

    Attributes:
        layers: in the order of the file.
        unknown: keys of which the end says no kind.
        doubled: keys of a kind that its layer has already, under another spelling.
    """

    layers: tuple[FileLayer, ...]
    unknown: tuple[str, ...]
    doubled: tuple[str, ...]


def group(keys: Iterable[str]) -> Grouping:
    """Group the keys of a file by layer."""
    layers: dict[str, dict[Kind, str]] = {}
    unknown, doubled = [], []
    for key in keys:
        name, kind = split(key)
        if kind is None:
            unknown.append(key)
        elif kind in (found := layers.setdefault(name, {})):
            doubled.append(key)
        else:
            found[kind] = key
    grouped = tuple(FileLayer(name, found) for name, found in layers.items())
    return Grouping(grouped, tuple(unknown), tuple(doubled))


def split(key: str) -> tuple[str, Kind | None]:
    """The layer and the kind of a key; the whole key and None where its end says no kind."""
    parts = key.split(".")
    for length in (3, 2, 1):
        if len(parts) <= length:
            continue
        kind = ENDINGS.get(".".join(parts[-length:]))
        if kind is not None:
            return ".".join(parts[:-length]), kind
        if length == 2 and parts[-2] in NAMED and (kind := ENDINGS.get(parts[-2])):
            return ".".join(parts[:-2]), kind
        if length == 3 and parts[-3] in NAMED and (kind := ENDINGS.get(f"{parts[-3]}.{parts[-1]}")):
            return ".".join(parts[:-3]), kind
    return key, None
