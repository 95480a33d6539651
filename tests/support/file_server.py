"""A real HTTP server of files, as hosts of models are: with ranges, versions, redirects and tokens."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class FileServer:
    """What it has and does, and what it was asked.

    Attributes:
        files: by path.
        redirects: from a path to an address.
        statuses: by path, of answers that are no file.
        token: that it demands; None for none.
        knows_ranges: it answers a range with that range, and not with everything.
        requests: path and headers of each, with small letters.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    token: str | None = None
    knows_ranges: bool = True
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body for a request."""
        self.requests.append((path, headers))
        if path in self.redirects:
            return HTTPStatus.FOUND, {"Location": self.redirects[path]}, b""
        if path in self.statuses:
            return self.statuses[path], {}, b""
        if self.token is not None and headers.get("authorization") != f"Bearer {self.token}":
            return HTTPStatus.UNAUTHORIZED, {}, b""
        content = self.files.get(path.partition("?")[0])
        if content is None:
            return HTTPStatus.NOT_FOUND, {}, b""
        version = {"ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'}
        asked = re.fullmatch(r"bytes=0-(\d+)", headers.get("range", ""))
        if asked is None or not self.knows_ranges:
            return HTTPStatus.OK, version, content
        part = content[: int(asked[1]) + 1]
        return HTTPStatus.PARTIAL_CONTENT, version | {"Content-Range": f"bytes 0-{len(part) - 1}/{len(content)}"}, part


@contextmanager
def serving_files(files: Mapping[str, bytes] | None = None) -> Iterator[FileServer]:
    """A server on a free port of this machine."""
    state = FileServer(files=dict(files or {}))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = state.answer(self.path, {key.lower(): value for key, value in self.headers.items()})
            with suppress(OSError):  # who asked may have read enough
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
