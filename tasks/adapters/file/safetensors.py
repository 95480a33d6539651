"""The header of a safetensors file: names, types and shapes of its tensors, and its metadata.

It stands at the beginning, so that a file is judged by its first bytes, wherever it is:

    8 bytes    length of the header, little-endian
    header     JSON: tensor -> dtype, shape and where its values are; ``__metadata__`` -> strings
    the rest   values, without gaps

For a file in storage: fetch ``FIRST_BYTES``, ask ``header_end`` how many of them count, fetch the rest if that is more,
and give all of it to ``parse_header``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from tasks.errors import AdapterNotUsable

LENGTH_BYTES = 8
FIRST_BYTES = 100_000
"""Enough for the whole header of nearly every file; what ``huggingface_hub`` asks for first, too."""
MAX_HEADER_BYTES = 10_000_000
MAX_TENSORS = 20_000
"""Ten times as many as the largest adapters of today have."""
MAX_BRACES = MAX_TENSORS + 5_000
"""In a header: one opens each tensor, and some are in the metadata, which may hold JSON as text."""
MAX_NAME_CHARACTERS = 500
METADATA = "__metadata__"

BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
"""Of one value of each type that safetensors knows."""

Shape = tuple[int, ...]
Size = Annotated[int, Field(ge=0, le=2**63, strict=True)]


class TensorEntry(BaseModel):
    """A tensor, as the header has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    dtype: Annotated[str, Field(max_length=100)]
    shape: Annotated[tuple[Size, ...], Field(max_length=8)]
    data_offsets: tuple[Size, Size]


Name = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)]

_TENSORS = TypeAdapter(dict[Name, TensorEntry])
_STRINGS = TypeAdapter(dict[str, str])

_ONE_AT_A_TIME = Lock()
"""Parsing holds the interpreter. Several headers at once would come no faster, and leave the other threads no turn."""


@dataclass(frozen=True)
class SafetensorsHeader:
    """The header of a safetensors file; its values are not read.

    Attributes:
        shapes: of each tensor, by name.
        size_bytes: of the whole file.
    """

    shapes: Mapping[str, Shape]
    metadata: Mapping[str, str]
    size_bytes: int


def read_header(path: Path) -> SafetensorsHeader:
    """Read the header of a local file and check that the file is whole.

    Raises:
        AdapterNotUsable: it cannot be read, or is not a complete safetensors file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(LENGTH_BYTES)
            start += file.read(header_end(start, name=path.name) - LENGTH_BYTES)
            size = path.stat().st_size
    except OSError as error:
        raise AdapterNotUsable(
            f"{path.name} cannot be read ({error.strerror}). Check that it exists and its permissions."
        ) from error
    return parse_header(start, name=path.name, size_bytes=size)


def header_end(start: bytes, *, name: str) -> int:
    """Return how many bytes from the beginning of a file its header ends, from the first eight of them.

    Raises:
        AdapterNotUsable: this is not a beginning of a safetensors file, or its header is longer than any adapter's.
    """
    if len(start) < LENGTH_BYTES:
        raise broken(name, "it is too short")
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise broken(name, f"its header would have {length} bytes, and at most {MAX_HEADER_BYTES} are read")
    return LENGTH_BYTES + length


def parse_header(start: bytes, *, name: str, size_bytes: int | None) -> SafetensorsHeader:
    """The header, from the beginning of a file. What follows the header in ``start`` is not looked at.

    Args:
        name: of the file, for the errors.
        size_bytes: of the whole file; None where only the header can say it.

    Raises:
        AdapterNotUsable: it is not a complete safetensors file.
    """
    tensors, metadata = parse_tensors(start, name=name)
    end = header_end(start, name=name)
    size = end + value_bytes_of(tensors) if size_bytes is None else size_bytes
    require_whole(tensors, name, size - end)
    return SafetensorsHeader({key: tensor.shape for key, tensor in tensors.items()}, metadata, size)


def parse_tensors(start: bytes, *, name: str) -> tuple[Mapping[str, TensorEntry], Mapping[str, str]]:
    """The tensors and the metadata that a header names; whether they make a whole file is not checked.

    Raises:
        AdapterNotUsable: it is not a header.
    """
    end = header_end(start, name=name)
    if len(start) < end:
        raise broken(name, "its header is cut off")
    if start.count(b"{", LENGTH_BYTES, end) > MAX_BRACES:  # counted before anything is built of it
        raise AdapterNotUsable(f"{name} has too many tensors; an adapter may have at most {MAX_TENSORS}.")
    with _ONE_AT_A_TIME:
        return parsed(start[LENGTH_BYTES:end], name=name)


def parsed(header: bytes, *, name: str) -> tuple[Mapping[str, TensorEntry], Mapping[str, str]]:
    """The tensors and the metadata of a header's JSON.

    Raises:
        AdapterNotUsable: it is not a header.
    """
    try:
        content = from_json(header, allow_inf_nan=False)
        if not isinstance(content, dict):
            raise broken(name, "its header is not a JSON object")
        require_few(len(content), name)
        metadata = _STRINGS.validate_python(content.pop(METADATA, None) or {}, strict=True)
        return _TENSORS.validate_python(content), metadata
    except ValidationError as error:
        raise broken(name, f"its header has {error.errors()[0]['msg'].lower()}") from error
    except ValueError as error:
        raise broken(name, "its header is not valid JSON") from error


def value_bytes_of(tensors: Mapping[str, TensorEntry]) -> int:
    """Bytes behind the header: where the last value ends."""
    return max((tensor.data_offsets[1] for tensor in tensors.values()), default=0)


def require_few(tensors: int, name: str) -> None:
    """Check the number of a file's tensors.

    Raises:
        AdapterNotUsable: there are too many.
    """
    if tensors > MAX_TENSORS:
        raise AdapterNotUsable(f"{name} has {tensors} tensors; an adapter may have at most {MAX_TENSORS}.")


def require_whole(tensors: Mapping[str, TensorEntry], name: str, value_bytes: int) -> None:
    """Check that the values of all tensors fill these many bytes, without gaps and as their shapes say.

    Raises:
        AdapterNotUsable: they do not.
    """
    position = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.data_offsets):
        begin, end = tensor.data_offsets
        if tensor.dtype not in BITS:
            raise broken(name, f"it has values of the unknown type {tensor.dtype[:20]!r}")
        if begin != position or (end - begin) * 8 != math.prod(tensor.shape) * BITS[tensor.dtype]:
            raise broken(name, "its header contradicts itself")
        position = end
    if position != value_bytes:
        raise broken(name, "it is cut off, or has bytes that belong to no tensor")


def broken(name: str, reason: str) -> AdapterNotUsable:
    """The error for a file that is not a complete safetensors file."""
    return AdapterNotUsable(f"{name} is not a complete safetensors file: {reason}. Copy or convert it again.")
