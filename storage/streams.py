"""Streams that are read once."""

from __future__ import annotations

from typing import Protocol


class Readable(Protocol):
    """A stream that can be read once, from the beginning to the end."""

    def read(self, count: int = -1, /) -> bytes:
        """Return the next bytes, none at the end."""


class FullReads:
    """A stream whose reads are full except at its end: boto3 takes a short read for the end."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def read(self, count: int = -1, /) -> bytes:
        """Return the next bytes, as many as asked for unless the stream ends."""
        parts, left = [], count
        while left and (part := self._stream.read(left)):
            parts.append(part)
            left = left if count < 0 else left - len(part)
        return b"".join(parts)
