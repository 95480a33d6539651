"""One HTTP request, with the patience that a client has for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from time import sleep
from urllib.parse import urlsplit

from stack.errors import ServerSilent


@dataclass(frozen=True)
class Sending:
    """What is sent.

    Attributes:
        timeout_s: seconds that the client waits for each bit of the answer before it goes away.
        pause_s: seconds between the first half of the body and the second one.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout_s: float = 30
    pause_s: float = 0


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    body: bytes


def exchange(sending: Sending) -> Answered:
    """Send a request on a connection of its own, and read the whole answer.

    Raises:
        ServerSilent: no answer came, or not all of it; the request may have been served.
    """
    parts = urlsplit(sending.url)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=sending.timeout_s)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = {**sending.headers, "Content-Length": str(len(sending.body))}
    try:
        connection.request(sending.method, path, halves(sending.body, sending.pause_s), headers)
        response = connection.getresponse()
        return Answered(response.status, response.read())
    except (OSError, HTTPException) as error:
        raise ServerSilent(type(error).__name__) from error
    finally:
        connection.close()


def halves(body: bytes, pause_s: float) -> Iterator[bytes]:
    """A body in two parts, with a pause between them."""
    middle = len(body) // 2
    yield body[:middle]
    if pause_s:
        sleep(pause_s)
    yield body[middle:]
