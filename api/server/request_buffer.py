"""The received part of a request: slow clients are waited for here, and not by a thread.

A request is handed to a thread when its head is complete and, unless it is large, its body too. Its validity is checked
by gunicorn's parser: a request that the parser will refuse is handed over as it is.
"""

from __future__ import annotations

from enum import Enum, auto

MAX_HEAD_BYTES = 32 * 1024
SMALL_BODY_BYTES = 68 * 1024
"""Size from which a body is an upload's: more than ``api.MAX_BODY_BYTES``."""
MAX_CHUNKED_BYTES = 4 * SMALL_BODY_BYTES
"""Bytes of a small body in chunks, with their sizes and extensions."""

LINE_END, HEAD_END = b"\r\n", b"\r\n\r\n"
CONTINUE = b"100-continue"


class Arrival(Enum):
    """The state of a request's arrival."""

    PARTIAL = auto()
    READY = auto()
    """It is complete, or its body is an upload, which is read as it comes."""
    HEAD_TOO_LONG = auto()
    BODY_TOO_LONG = auto()


class RequestBuffer:
    """The first bytes of a connection's next request. Each byte is looked at once, however slowly they come.

    Attributes:
        data: the received bytes, which may go beyond the request.
        expects_continue: the client waits for ``100 Continue`` before it sends its body.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.expects_continue = False
        self._searched = 0
        self._needed: int | None = None
        self._chunk: int | None = None
        self._trailer: int | None = None
        self._chunked_begin = 0
        self._content = 0

    def add(self, part: bytes) -> Arrival:
        """Take the next bytes."""
        begin = len(self.data)
        self.data += part
        if self._trailer is not None:
            return self._trailers(self._trailer)
        if self._chunk is not None:
            return self._chunks()
        if self._needed is not None:
            return self._counted(self._needed)
        return self._head(begin)

    def without_expectation(self) -> bytes:
        """Return the received bytes, without the field to which ``100 Continue`` was the response."""
        head, end, rest = bytes(self.data).partition(HEAD_END)
        lines = (line for line in head.split(LINE_END) if not line.lower().startswith(b"expect:"))
        return LINE_END.join(lines) + end + rest

    def _head(self, new: int) -> Arrival:
        bare = self.data.count(b"\n", new) != self.data.count(LINE_END, max(0, new - 1))
        end = self._find(HEAD_END, 0)
        if end > MAX_HEAD_BYTES or (end < 0 and len(self.data) > MAX_HEAD_BYTES):
            return Arrival.HEAD_TOO_LONG
        if end < 0:
            return Arrival.READY if bare else Arrival.PARTIAL
        return self._body(end + len(HEAD_END), bytes(self.data[:end]))

    def _body(self, begin: int, head: bytes) -> Arrival:
        request_line, *lines = head.split(LINE_END)
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        self.expects_continue = request_line.endswith(b"HTTP/1.1") and fields.get(b"expect", b"").lower() == CONTINUE
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            self._chunk = self._chunked_begin = self._searched = begin
            return self._chunks()
        length = fields.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 18 or int(length) > SMALL_BODY_BYTES:
            return Arrival.READY
        self._needed = begin + int(length)
        return self._counted(self._needed)

    def _counted(self, needed: int) -> Arrival:
        return Arrival.READY if len(self.data) >= needed else Arrival.PARTIAL

    def _chunks(self) -> Arrival:
        chunk = self._chunk or 0
        while chunk < len(self.data) and (end := self._find(LINE_END, chunk)) >= 0:
            size = chunk_size(bytes(self.data[chunk:end]))
            if size is None:
                return Arrival.READY
            if size == 0:
                self._trailer = self._searched = end
                return self._trailers(end)
            self._content += size
            if self._content > SMALL_BODY_BYTES:
                return Arrival.READY
            chunk = self._chunk = self._searched = end + size + 2 * len(LINE_END)
        return self._bounded()

    def _trailers(self, begin: int) -> Arrival:
        """Return the trailers after the last chunk: nothing, or fields, and an empty line."""
        return Arrival.READY if self._find(HEAD_END, begin) >= 0 else self._bounded()

    def _bounded(self) -> Arrival:
        too_long = len(self.data) - self._chunked_begin > MAX_CHUNKED_BYTES
        return Arrival.BODY_TOO_LONG if too_long else Arrival.PARTIAL

    def _find(self, token: bytes, begin: int) -> int:
        """Return the position of a token, as ``bytes.find``; bytes without it are not searched again."""
        found = self.data.find(token, max(begin, self._searched))
        if found < 0:
            self._searched = max(begin, len(self.data) - len(token) + 1)
        return found


def chunk_size(line: bytes) -> int | None:
    """Return the size in a chunk's first line; None where the parser will refuse it."""
    try:
        return int(line.partition(b";")[0].strip(b" \t"), 16)
    except ValueError:
        return None
