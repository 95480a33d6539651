"""The tensors and the metadata of a safetensors file, in float64."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AdapterFile:
    """An adapter as its author published it.

    Attributes:
        tensors: by key.
        metadata: of the file's header.
        config: ``adapter_config.json`` beside the file; empty if there is none.
    """

    tensors: Mapping[str, Array]
    metadata: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


def bfloat16(raw: bytes) -> Array:
    """The upper halves of float32 numbers."""
    return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)


def float8_e5m2(raw: bytes) -> Array:
    """The upper halves of float16 numbers."""
    return (np.frombuffer(raw, "<u1").astype("<u2") << 8).view("<f2").astype(np.float64)


def float8_e4m3(raw: bytes) -> Array:
    """https://arxiv.org/abs/2209.05433, table 1: no infinities, and one pattern that is not a number."""
    bits = np.frombuffer(raw, "<u1").astype(np.int64)
    exponent, fraction = (bits >> 3) & 15, (bits & 7) / 8
    size = np.where(exponent == 0, fraction * 2.0**-6, (1 + fraction) * 2.0 ** (exponent - 7))
    size[(bits & 127) == 127] = np.nan
    return np.where(bits & 128, -size, size)


def plain(dtype: str) -> Callable[[bytes], Array]:
    """Numbers that NumPy knows."""
    return lambda raw: np.frombuffer(raw, dtype).astype(np.float64)


DTYPES: Mapping[str, Callable[[bytes], Array]] = MappingProxyType(
    {
        "F64": plain("<f8"),
        "F32": plain("<f4"),
        "F16": plain("<f2"),
        "BF16": bfloat16,
        "F8_E4M3": float8_e4m3,
        "F8_E5M2": float8_e5m2,
        "I64": plain("<i8"),
        "I32": plain("<i4"),
        "I8": plain("<i1"),
        "BOOL": plain("<?"),
    }
)


def read_file(path: Path) -> AdapterFile:
    """Read a file: the length of its header, the header, and the numbers one after another."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {key: tensor(raw[start:], entry) for key, entry in header.items()}
    beside = path.with_name("adapter_config.json")
    return AdapterFile(tensors, metadata, json.loads(beside.read_text("utf-8")) if beside.exists() else {})


def tensor(data: bytes, entry: Mapping[str, Any]) -> Array:
    """One tensor, as its entry of the header describes it."""
    first, end = entry["data_offsets"]
    values = DTYPES[entry["dtype"]](data[first:end])
    assert len(values) == math.prod(entry["shape"])
    return values.reshape(entry["shape"])
