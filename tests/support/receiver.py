"""A real HTTP server that receives webhooks and answers as a test says."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from tests.support.waiting import patience


@dataclass
class Receiver:
    """What came, and with which statuses to answer; the last one stays. How long to wait before each byte of that."""

    url: str = ""
    pause_s: float = 0
    statuses: list[int] = field(default_factory=lambda: [200])
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiving(*statuses: int, tls: ssl.SSLContext | None = None, pause_s: float = 0) -> Iterator[Receiver]:
    """A receiver on a free port of this machine.

    Args:
        tls: its certificate, if it speaks https.
        pause_s: before each byte of its answer.
    """
    receiver = Receiver(statuses=list(statuses), pause_s=pause_s)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            with suppress(OSError):  # the sender may have given up
                for byte in b"HTTP/1.1 200 OK\r\n" if receiver.pause_s else b"":
                    time.sleep(receiver.pause_s)
                    self.wfile.write(bytes([byte]))
                self._answer()

        def _answer(self) -> None:
            self.send_response(receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0])
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}/hook"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def pouring(answer: Iterable[bytes], pause_s: float = 0.001) -> Iterator[str]:
    """A server of one connection that writes without reading, as long as it is let; its URL.

    Args:
        answer: the pieces of what it writes.
        pause_s: before each piece.
    """

    def pour() -> None:
        with suppress(OSError):  # the other side has left, or none came
            connection, _ = server.accept()
            with connection:
                for piece in answer:
                    connection.sendall(piece)
                    if left.wait(pause_s):
                        return

    left = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(patience(30))
        thread = Thread(target=pour)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            left.set()
            thread.join()
