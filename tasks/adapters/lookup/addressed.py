"""Adapters at addresses: files on the web, and keys in storage that the operator names.

The API reads the header of a file alone. It pins the file to its SHA-256 where that is known: from the address itself,
or because a worker has read this version before. Else it pins it to a digest of its address, header, size and the
server's own mark of the version; the worker that reads the file first must find the same digest, and notes the SHA-256,
which holds from then on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore

from tasks.adapters.file.address import FileAddress
from tasks.adapters.file.identity import AdapterSource, FoundAdapter
from tasks.adapters.file.safetensors import FIRST_BYTES, SafetensorsHeader, header_end, parse_header
from tasks.adapters.file.sidecar import named_base_models
from tasks.adapters.lookup.addressed_files import AddressedFiles
from tasks.adapters.lookup.checksums import Checksums
from tasks.errors import AdapterNotFound, TooManyTransfers
from tasks.outbound.file_source import Answer

MAX_AT_ONCE = 8
"""Headers that a process reads at a time: slow servers, which clients choose, must not hold all threads of the API."""


class AddressedAdapters:
    """Finds adapters at addresses. Thread-safe."""

    def __init__(self, files: AddressedFiles, checksums: Checksums) -> None:
        self._files = files
        self._checksums = checksums
        self._reading = BoundedSemaphore(MAX_AT_ONCE)

    def look_up(self, address: FileAddress) -> FoundAdapter:
        """Pin the file at an address to what it is now.

        Raises:
            AdapterNotFound, AdapterNotUsable, InvalidRequest, SourceUnavailable: as ``AddressedFiles.opened`` does.
            AdapterNotUsable: it is not a complete safetensors file.
            TooManyTransfers: too many are read already.
            ValkeyUnavailable: Valkey does not answer.
        """
        beginning = self._beginning(address)
        sha256 = address.sha256 or self._checksums.of(beginning.version)
        return FoundAdapter(
            ref=address.url,
            source=AdapterSource.ADDRESS,
            repository=address.url,
            commit=sha256 or beginning.version,
            weight_name=address.weight_name,
            sha256=sha256,
            size_bytes=beginning.header.size_bytes,
            base_names=named_base_models(beginning.header.metadata),
        )

    def read_header(self, found: FoundAdapter) -> SafetensorsHeader:
        """The header of the file that was found.

        Raises:
            AdapterNotFound: it has changed or gone.
            AdapterNotUsable, InvalidRequest, SourceUnavailable, TooManyTransfers: as ``look_up`` does.
        """
        beginning = self._beginning(FileAddress(found.repository))
        if found.sha256 is None and beginning.version != found.commit:
            raise AdapterNotFound(
                "The file at the address of the adapter changed a moment ago. Send the request again."
            )
        return beginning.header

    def _beginning(self, address: FileAddress) -> Beginning:
        name = address.weight_name
        with self._turn():
            answer, start = self._first_bytes(address, FIRST_BYTES)
            if len(start) < (end := header_end(start, name=name)):
                answer, start = self._first_bytes(address, end)
        header = parse_header(start, name=name, size_bytes=answer.size_bytes)
        return Beginning(header, version_of(address.url, header.size_bytes, answer.validator, start[:end]))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Read, if not too many do so already.

        Raises:
            TooManyTransfers: they do.
        """
        if not self._reading.acquire(blocking=False):
            raise TooManyTransfers(f"{MAX_AT_ONCE} headers of adapters at addresses are being read.")
        try:
            yield
        finally:
            self._reading.release()

    def _first_bytes(self, address: FileAddress, count: int) -> tuple[Answer, bytes]:
        """The first bytes of a file; no more are read where its server sends more than it was asked for."""
        start = bytearray()
        with self._files.opened(address, first_bytes=count) as answer:
            for part in answer.parts:
                start += part
                if len(start) >= count:
                    break
        return answer, bytes(start[:count])


@dataclass(frozen=True)
class Beginning:
    """The beginning of a file, and what tells this version of it from others."""

    header: SafetensorsHeader
    version: str


def version_of(url: str, size_bytes: int, validator: str, header: bytes) -> str:
    """What tells a version of a file from others before its SHA-256 is known.

    The address is part of it, so that no server can answer for the file of another.
    """
    digest = hashlib.sha256()
    for part in (url.encode(), b"%d" % size_bytes, validator.encode(), header):
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()
