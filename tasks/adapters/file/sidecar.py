"""The description of a folder adapter: its sidecar ``<name>.toml`` first, its own safetensors header second."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from tasks.adapters.file.safetensors import Shape, read_header
from tasks.errors import AdapterNotUsable

PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pt", ".pth"})

BASE_MODEL_KEYS = ("stokehold.base_model", "ss_sd_model_name", "ss_base_model_version", "modelspec.architecture")
"""Header entries that may name the base model, the narrowest first: our own, kohya's checkpoint and its kind (``ss_``),
modelspec's architecture, which a derivative of SDXL shares with it. ``models.toml`` has the usual values as aliases."""
ENDINGS = ("/lora", ".safetensors", ".ckpt")
"""Of a name: what modelspec adds for an adapter, and the suffixes of checkpoints."""
TRIGGER_WORDS_KEY = "modelspec.trigger_phrase"
DESCRIPTION_KEY = "modelspec.description"
MAX_SIDECAR_BYTES = 64 * 1024

# The factor next to the input, in peft's, kohya's and diffusers' own older names: its first axis is the rank.
_DOWN_FACTOR = re.compile(r"lora_A|lora[._]down")


class Sidecar(BaseModel):
    """``<name>.toml`` beside ``<name>.safetensors``. What it leaves out is taken from the file's header."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_model: str | None = Field(default=None, min_length=1, description="slug, id or alias of a base model")
    rank: PositiveInt | None = None
    trigger_words: tuple[str, ...] | None = None
    description: str | None = None


@dataclass(frozen=True)
class AdapterDescription:
    """An adapter in its author's words.

    Attributes:
        base_models: names of the base model it was made for; one of them may be served here. Often there is none.
        size_bytes: of its file.
    """

    base_models: tuple[str, ...]
    size_bytes: int
    rank: int | None
    trigger_words: tuple[str, ...]
    description: str


def describe(path: Path) -> AdapterDescription:
    """Read the sidecar and the header of a local adapter.

    Raises:
        AdapterNotUsable: the file is a pickle or no whole safetensors file, or its sidecar is wrong; the message says
            what to do.
    """
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise AdapterNotUsable(f"{path.name} is a pickle, which may run code when loaded. Convert it to safetensors.")
    header = read_header(path)
    sidecar = read_sidecar(path.with_suffix(".toml"))
    base_models = (sidecar.base_model,) if sidecar.base_model else named_base_models(header.metadata)
    return AdapterDescription(
        base_models=base_models,
        size_bytes=header.size_bytes,
        rank=sidecar.rank or largest_rank(header.shapes),
        trigger_words=trigger_words(header.metadata) if sidecar.trigger_words is None else sidecar.trigger_words,
        description=header.metadata.get(DESCRIPTION_KEY, "") if sidecar.description is None else sidecar.description,
    )


def named_base_models(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Every name that a file gives its base model, the narrowest first, without endings."""
    return tuple(without_endings(metadata[key]) for key in BASE_MODEL_KEYS if metadata.get(key))


def without_endings(name: str) -> str:
    """A name as it is in ``models.toml``."""
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


def trigger_words(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The words that a file says a prompt needs."""
    words = metadata.get(TRIGGER_WORDS_KEY, "").split(",")
    return tuple(word.strip() for word in words if word.strip())


def largest_rank(shapes: Mapping[str, Shape]) -> int | None:
    """The rank of a file's largest low-rank product; None where it has none."""
    ranks = (shape[0] for key, shape in shapes.items() if shape and _DOWN_FACTOR.search(key))
    return max(ranks, default=None)


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar; one that does not exist says nothing.

    Raises:
        AdapterNotUsable: it is too long, no TOML, or an entry of it is unknown or wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIDECAR_BYTES + 1)
    except FileNotFoundError:
        return Sidecar()
    except OSError as error:
        raise AdapterNotUsable(f"{path.name} cannot be read. Check its permissions.") from error
    if len(content) > MAX_SIDECAR_BYTES:
        raise AdapterNotUsable(f"{path.name} has more than {MAX_SIDECAR_BYTES} bytes. Shorten it.")
    return parse_sidecar(content, path)


def parse_sidecar(content: bytes, path: Path) -> Sidecar:
    """The sidecar in a file's content.

    Raises:
        AdapterNotUsable: it is not TOML, or an entry of it is unknown or wrong.
    """
    try:
        return Sidecar.model_validate(tomllib.loads(content.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise AdapterNotUsable(f"{path.name} is not valid TOML in UTF-8: {error}.") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors(include_url=False))
        raise AdapterNotUsable(f"{path.name} is wrong: {problems}.") from error
