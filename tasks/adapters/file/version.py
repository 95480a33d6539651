"""The version of a local file: what tells it from others without reading all of it.

    48 hexadecimal digits   of the SHA-256 of its size, its header and samples of its values
    16 hexadecimal digits   time of its last change, in nanoseconds since 1970

A copy on another machine shares the first part, whatever its time. The second part tells apart what no sample shows.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from tasks.adapters.file.safetensors import LENGTH_BYTES, MAX_HEADER_BYTES

CONTENT_DIGITS = 48
SAMPLES = 64
SAMPLE_BYTES = 1 << 14
"""A file of at most ``SAMPLES * SAMPLE_BYTES`` is read whole."""


class Stamp(NamedTuple):
    """What changes on a machine when a file does.

    Attributes:
        modified_ns: time of the last change of its content, in nanoseconds since 1970.
        changed_ns: of that, or of its owner, permissions or time.
    """

    modified_ns: int
    changed_ns: int
    size_bytes: int
    inode: int


def stamp_of(path: Path) -> Stamp:
    """Return a file's stamp.

    Raises:
        OSError: it cannot be looked at.
    """
    status = path.stat()
    return Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def version_of(path: Path) -> str:
    """Return a file's version, from at most a header and 1 MiB, once for each stamp of it.

    Raises:
        OSError: it cannot be read.
    """
    return _version(path, stamp_of(path))


def is_same_content(version: str, other: str) -> bool:
    """Return whether two versions are of the same content, as far as samples show it."""
    return version[:CONTENT_DIGITS] == other[:CONTENT_DIGITS]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, computed once for each stamp of it. It takes some 4 s for a GB.

    Raises:
        OSError: it cannot be read.
    """
    return _sha256(path, stamp_of(path))


@lru_cache(maxsize=4096)
def _version(path: Path, stamp: Stamp) -> str:
    time = stamp.modified_ns % (1 << 64)
    return f"{_content_digest(path, stamp.size_bytes)[:CONTENT_DIGITS]}{time:016x}"


def _content_digest(path: Path, size: int) -> str:
    digest = hashlib.sha256(b"%d\n" % size)
    with path.open("rb") as file:
        length = file.read(LENGTH_BYTES)
        digest.update(length + file.read(min(int.from_bytes(length, "little"), MAX_HEADER_BYTES)))
        for number in range(SAMPLES):
            file.seek(max(0, size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


@lru_cache(maxsize=4096)
def _sha256(path: Path, stamp: Stamp) -> str:  # noqa: ARG001 (the stamp is there for the cache)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
