"""A server in the place of storage that answers every request with an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from stack.ports import LOOPBACK


class RefusingServer(ThreadingHTTPServer):
    """Answers with one status and, where there is one, S3's code for the reason."""

    def __init__(self, port: int, status: int, code: str | None) -> None:
        super().__init__((LOOPBACK, port), Refusing)
        self.status, self.code = status, code


class Refusing(BaseHTTPRequestHandler):
    """Answers one request."""

    server: RefusingServer

    def refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        code = self.server.code
        body = b"" if code is None else f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = refuse  # noqa: N815 (the names that http.server looks for)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def refusing_storage(port: int = 0, status: int = 503, code: str | None = None) -> Iterator[str]:
    """Refuse everybody at this port, or a free one, while the block runs; where that is."""
    server = RefusingServer(port, status, code)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
