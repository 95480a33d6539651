"""The least that an HTTP client can be, so that on a few cores it takes little from the server that it measures."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """A status, the headers in lower case, and the body read as JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Connection:
    """One connection that is kept alive, and made again where the server has closed it between two requests."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    async def get(self, path: str) -> Answer:
        """GET."""
        return await self._request(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    async def post(self, path: str, body: object) -> Answer:
        """POST of a JSON body, under an idempotency key of its own."""
        content = json.dumps(body).encode()
        headers = f"Host: {self._host}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
        headers += f"\r\nIdempotency-Key: {uuid.uuid4().hex}"
        return await self._request(f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + content)

    async def _request(self, message: bytes) -> Answer:
        """Send a request and read its answer.

        Raises:
            OSError: the server is unavailable.
            EOFError: it closes a connection that was just made.
        """
        if self._streams is not None:
            try:
                return await self._exchange(*self._streams, message)
            except (EOFError, ConnectionError):  # it was idle for too long; nothing of the request was read
                self._close()
        self._streams = await asyncio.open_connection(self._host, self._port)
        return await self._exchange(*self._streams, message)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> Answer:
        writer.write(message)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        if headers.get("connection") == "close":
            self._close()
        return Answer(int(head[0].split()[1]), headers, body)

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
