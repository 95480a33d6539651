"""Adapters that clients have put into our storage: their headers, and how a file comes in.

A file goes on to storage as it is read: nothing of it is kept, and nothing of it is stored before its header is judged.
"""

from __future__ import annotations

import hashlib
import uuid

from storage import FullReads, ObjectNotFound, Readable, Storage
from tasks.adapters.file.identity import AdapterSource, FoundAdapter
from tasks.adapters.file.safetensors import (
    FIRST_BYTES,
    LENGTH_BYTES,
    SafetensorsHeader,
    broken,
    header_end,
    parse_header,
)
from tasks.adapters.file.sidecar import named_base_models
from tasks.errors import AdapterNotFound, AdapterNotUsable

CONTENT_TYPE = "application/octet-stream"
FOLDER = "adapters/"
INCOMING = "incoming/"
READ_BYTES = 1 << 20


class UploadedAdapters:
    """The files in storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def read_header(self, found: FoundAdapter) -> SafetensorsHeader:
        """The header of a file.

        Raises:
            AdapterNotFound, AdapterNotUsable, StorageError: as ``read_header`` does.
        """
        return read_header(self._storage, found.object_key or "", name=found.ref, size_bytes=found.size_bytes or 0)


def read_header(storage: Storage, key: str, *, name: str, size_bytes: int) -> SafetensorsHeader:
    """The header of a file in storage.

    Raises:
        AdapterNotFound: the file is gone.
        AdapterNotUsable: it is not a complete safetensors file.
        StorageError: storage is unavailable.
    """
    try:
        start = storage.get_range(key, 0, min(size_bytes, FIRST_BYTES)) if size_bytes else b""
        end = header_end(start, name=name)
        if len(start) < end <= size_bytes:
            start += storage.get_range(key, len(start), end)
    except ObjectNotFound as error:
        raise AdapterNotFound(f"The file of {name} is missing. Send it again.") from error
    return parse_header(start, name=name, size_bytes=size_bytes)


class IncomingAdapter:
    """A safetensors file that comes in, to be read once: what it is, is known from its header before it is passed on.

    Args:
        name: of the adapter.
        max_bytes: the largest file that is taken.

    Attributes:
        header: what the file says of itself.

    Raises:
        AdapterNotUsable: it is not a safetensors file, or a larger one.
    """

    def __init__(self, stream: Readable, name: str, *, max_bytes: int) -> None:
        self._stream = FullReads(stream)
        self._name = name
        self._start = self._stream.read(LENGTH_BYTES)
        self._start += self._stream.read(header_end(self._start, name=name) - LENGTH_BYTES)
        self.header = parse_header(self._start, name=name, size_bytes=None)
        self._left = self.header.size_bytes
        if self._left > max_bytes:
            raise AdapterNotUsable(f"The file has {self._left} bytes, and this service takes at most {max_bytes}.")
        self._digest = hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        """The next bytes.

        Raises:
            AdapterNotUsable: there are fewer or more than the header says.
        """
        wanted = self._left if count < 0 else min(count, self._left)
        if not wanted:
            if self._stream.read(1):
                raise broken(self._name, "it has bytes that belong to no tensor")
            return b""
        chunk, self._start = self._start[:wanted], self._start[wanted:]
        chunk = chunk or self._stream.read(wanted)
        if not chunk:
            raise broken(self._name, "it is cut off")
        self._left -= len(chunk)
        self._digest.update(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        """Of what was read so far."""
        return self._digest.hexdigest()


def sha256_of(stream: Readable, name: str, *, max_bytes: int) -> str:
    """The SHA-256 of a file that comes in and is kept nowhere.

    Raises:
        AdapterNotUsable: it is not a complete safetensors file, or too large.
    """
    incoming = IncomingAdapter(stream, name, max_bytes=max_bytes)
    while incoming.read(READ_BYTES):
        pass
    return incoming.sha256


def uploaded(name: str, key: str, sha256: str, header: SafetensorsHeader) -> FoundAdapter:
    """An adapter whose file lies in storage."""
    return FoundAdapter(
        ref=name,
        source=AdapterSource.UPLOAD,
        repository=name,
        commit=sha256,
        weight_name=f"{name}.safetensors",
        object_key=key,
        sha256=sha256,
        size_bytes=header.size_bytes,
        base_names=named_base_models(header.metadata),
    )


def new_file_key() -> str:
    """A place in storage for the file of an entry."""
    return f"{FOLDER}{uuid.uuid4().hex}.safetensors"


def incoming_key(upload_id: str) -> str:
    """Return where a client puts a file that it sends to storage itself."""
    return f"{INCOMING}{upload_id}.safetensors"
