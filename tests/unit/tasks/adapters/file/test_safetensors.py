"""The header of a safetensors file, read from its first bytes."""

from __future__ import annotations

import json
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from tasks.adapters.file.safetensors import MAX_HEADER_BYTES, MAX_TENSORS, header_end, parse_header
from tasks.errors import AdapterNotUsable

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__")
DTYPES = st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_])
TENSORS = st.dictionaries(NAMES, st.tuples(DTYPES, st.lists(st.integers(0, 4), max_size=4)), min_size=1, max_size=5)


def file_of(header: object, values: int = 0) -> bytes:
    """A file with this header and so many bytes of values."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(values)


def tensor(dtype: str = "F32", shape: object = (2,), begin: object = 0, end: object = 8) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@settings(max_examples=50, deadline=None, database=None)
@given(tensors=TENSORS, metadata=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
def test_what_safetensors_writes_is_read_from_its_beginning(
    tensors: dict[str, tuple[type, list[int]]], metadata: dict[str, str]
) -> None:
    content = save({name: np.zeros(shape, dtype) for name, (dtype, shape) in tensors.items()}, metadata=metadata)
    beginning = content[: header_end(content[:8], name="a")]

    header = parse_header(beginning, name="a", size_bytes=len(content))

    assert header.shapes == {name: tuple(shape) for name, (_, shape) in tensors.items()}
    assert header.metadata == metadata
    assert header.size_bytes == len(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "too short"),
        (b"PK\x03\x04 and so on", "its header would have"),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1), "its header would have"),
        (struct.pack("<Q", 100) + b"{}", "its header is cut off"),
        (struct.pack("<Q", 2) + b"{]", "not valid JSON"),
        (file_of([]), "not a JSON object"),
        (file_of({"a": 1}), "its header has"),
        (file_of({"__metadata__": {"a": 1}}), "its header has"),
        (file_of({"a": tensor(shape=[-2])}, 8), "its header has"),
        (file_of({"a": tensor(shape="22")}, 8), "its header has"),
        (file_of({"a": tensor(dtype="F33")}, 8), "unknown type 'F33'"),
        (file_of({"a": tensor(shape=[3])}, 8), "contradicts itself"),
        (file_of({"a": tensor(begin=8, end=16)}, 16), "contradicts itself"),
        (file_of({"a": tensor()}, 7), "cut off"),
        (file_of({"a": tensor()}, 9), "bytes that belong to no tensor"),
        (file_of({"a" * 10_000: tensor()}, 8), "its header has"),
        (struct.pack("<Q", 1_000_000) + b"[" * 1_000_000, "not valid JSON"),
        (struct.pack("<Q", 100_000) + b'{"a":' * 20_000, "not valid JSON"),
    ],
)
def test_what_is_no_whole_safetensors_file_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(AdapterNotUsable, match=reason):
        parse_header(content, name="a.safetensors", size_bytes=len(content))


@pytest.mark.parametrize(
    ("count", "value", "reason"),
    [
        (MAX_TENSORS + 1, tensor(shape=[0], end=0), "tensors"),
        (2 * MAX_TENSORS, tensor(shape=[0], end=0), "too many tensors"),
        (MAX_TENSORS + 1, 0, "tensors"),
    ],
)
def test_more_tensors_than_an_adapter_may_have_are_refused(count: int, value: object, reason: str) -> None:
    content = file_of({str(number): value for number in range(count)})

    with pytest.raises(AdapterNotUsable, match=reason):
        parse_header(content, name="a.safetensors", size_bytes=len(content))


def test_a_header_of_many_tensors_is_refused_before_any_is_built() -> None:
    content = file_of({f"k{number}": tensor(shape=[0], end=0) for number in range(140_000)})

    tracemalloc.start()
    try:
        with pytest.raises(AdapterNotUsable, match="too many tensors"):
            parse_header(content, name="a.safetensors", size_bytes=len(content))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < len(content)


def test_metadata_may_hold_json() -> None:
    content = file_of({"__metadata__": {"ss_tag_frequency": "{" * 4_000}, "a": tensor()}, 8)

    assert parse_header(content, name="a.safetensors", size_bytes=len(content)).shapes == {"a": (2,)}
