"""A file's version tells it from others without reading all of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.adapters.file.version import SAMPLE_BYTES, SAMPLES, file_sha256, is_same_content, version_of
from tests.support.processes import bytes_read
from tests.support.safetensors_files import write_lora, write_sparse_lora

LARGE = 4 << 30
AT_MOST = SAMPLES * SAMPLE_BYTES + (1 << 20)
"""Bytes: the samples, and what else this process reads."""


def test_of_a_large_file_little_is_read(tmp_path: Path) -> None:
    path = write_sparse_lora(tmp_path, "large", size_bytes=LARGE)
    before = bytes_read()

    version = version_of(path)

    assert bytes_read() - before < AT_MOST
    assert len(version) == 64
    assert int(version, 16) >= 0


def test_a_copy_has_the_same_content_and_a_version_of_its_own(tmp_path: Path) -> None:
    path, copy = write_lora(tmp_path, "pixel"), write_lora(tmp_path, "copy")
    os.utime(copy, ns=(0, 1))

    assert is_same_content(version_of(path), version_of(copy))
    assert version_of(path) != version_of(copy)


@pytest.mark.parametrize("position", [200, 1 << 19, LARGE // 3, LARGE - 1])
def test_another_content_of_the_same_size_is_another_version_even_where_no_sample_shows_it(
    tmp_path: Path, position: int
) -> None:
    path = write_sparse_lora(tmp_path, "large", size_bytes=LARGE)
    before = version_of(path)

    with path.open("r+b") as file:
        file.seek(position)
        file.write(b"x")
    os.utime(path)

    assert version_of(path) != before


@pytest.mark.parametrize("position", [0, 40_000, 99_999])
def test_every_byte_of_a_small_file_counts(tmp_path: Path, position: int) -> None:
    path, other = tmp_path / "one", tmp_path / "other"
    path.write_bytes(bytes(100_000))
    content = bytearray(100_000)
    content[position] = 1
    other.write_bytes(content)

    assert not is_same_content(version_of(path), version_of(other))


def test_a_file_that_was_retrained_is_told_by_its_samples_alone(tmp_path: Path) -> None:
    size = 64 << 20
    path = write_sparse_lora(tmp_path, "one", size_bytes=size)
    other = write_sparse_lora(tmp_path, "other", size_bytes=size)
    with other.open("r+b") as file:
        file.seek(size // 2)
        file.write(bytes([1]) * (size // SAMPLES))

    assert not is_same_content(version_of(path), version_of(other))


def test_a_changed_file_is_hashed_again_even_if_its_time_was_put_back(tmp_path: Path) -> None:
    path = write_lora(tmp_path, "pixel")
    status, before = path.stat(), file_sha256(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1

    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert file_sha256(path) != before
