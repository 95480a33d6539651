"""A small model hub for tests: a real HTTP server that speaks the endpoints which ``huggingface_hub`` uses."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from threading import Event, Thread
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

from tests.support.hub_repository import Answer, Refusal, Repository

MODEL_INFO = re.compile(r"/api/models/(?P<repository>[^/]+/[^/]+)(?:/revision/(?P<revision>[^/]+))?")
DOWNLOAD = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


class Request(NamedTuple):
    """A request that the Hub has seen."""

    method: str
    path: str
    byte_range: str = ""


class HubServer:
    """The Hub on a free port of this machine, from ``with`` to its end.

    Attributes:
        TOKEN: the one access token that the Hub accepts. It opens private repositories, and no gated ones.
        requests: every request so far, oldest first.
    """

    TOKEN = "hf_test"

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._repositories: dict[str, Repository] = {}
        self._failures: list[Answer] = []
        self._cuts: list[int] = []
        self._altered = 0
        self._pause_s = 0.0
        self._speaking = Event()
        self._speaking.set()
        self._asked = Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="hub")

    @property
    def url(self) -> str:
        """What ``HF_ENDPOINT`` would be set to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port: from now on the Hub cannot be reached."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add_repository(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        tags: Sequence[str] = ("lora",),
        base_model: str | Sequence[str] | None = None,
        gated: str | bool = False,
        private: bool = False,
    ) -> str:
        """Make a repository with one commit on ``main``; returns the commit."""
        self._repositories[name] = Repository(name, tags, base_model, gated, private)
        return self.push(name, files)

    def push(self, name: str, files: Mapping[str, bytes], *, branch: str = "main") -> str:
        """Move a branch on to a new commit with exactly these files; returns the commit."""
        return self._repositories[name].commit(files, branch)

    def remove_repository(self, name: str) -> None:
        """Delete a repository, as its author may do at any time."""
        del self._repositories[name]

    def fail(self, status: int, *, body: bytes = b"", times: int = 1) -> None:
        """Answer the next requests with this status, this body and nothing else."""
        self._failures += [Answer(status, body)] * times

    def cut_downloads(self, *after_bytes: int) -> None:
        """Hang up within the next downloads: in the first after so many bytes, in the second after so many ..."""
        self._cuts += after_bytes

    def alter_downloads(self, times: int) -> None:
        """Send other bytes than the files have in the next downloads, as many as there should be."""
        self._altered += times

    @contextmanager
    def trickling(self, pause_s: float) -> Iterator[None]:
        """Send downloads a byte at a time, until the end of ``with``."""
        self._pause_s = pause_s
        try:
            yield
        finally:
            self._pause_s = 0.0

    def write(self, file: BufferedIOBase, request: Request, body: bytes) -> None:
        """Send a body."""
        while self._pause_s and body and DOWNLOAD.fullmatch(request.path):
            file.write(body[:1])
            body = body[1:]
            time.sleep(self._pause_s)
        file.write(body)

    @contextmanager
    def silent(self) -> Iterator[Event]:
        """Accept requests and say nothing, until the end of ``with``; the event is set once a request waits."""
        self._asked.clear()
        self._speaking.clear()
        try:
            yield self._asked
        finally:
            self._speaking.set()

    def count(self, method: str, part: str) -> int:
        """How many requests of this method so far had ``part`` in their path."""
        return sum(request.method == method and part in request.path for request in self.requests)

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer a request as the real Hub would, unless the test has asked for something else."""
        self.requests.append(request)
        self._asked.set()
        self._speaking.wait()
        if self._failures:
            return self._failures.pop(0)
        try:
            return self._answer(request.path, headers)
        except Refusal as refusal:
            return refusal.answer

    def sent_part(self, request: Request, body: bytes) -> bytes:
        """As much of a body as goes out before the Hub hangs up."""
        if not DOWNLOAD.fullmatch(request.path):
            return body
        if self._altered:
            self._altered -= 1
            return bytes(len(body))
        if self._cuts:
            return body[: self._cuts.pop(0)]
        return body

    def _answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        path, _, query = path.partition("?")
        match = MODEL_INFO.fullmatch(path) or DOWNLOAD.fullmatch(path)
        if match is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "Not found")
        repository = self._find(match["repository"], headers.get("authorization"))
        sha = repository.find(unquote(match["revision"] or "main"))
        if match.re is MODEL_INFO:
            return repository.model_info(sha, with_files="blobs=true" in query)
        return repository.download(sha, unquote(match["path"]), headers.get("range", ""))

    def _find(self, name: str, authorization: str | None) -> Repository:
        if authorization not in {None, f"Bearer {self.TOKEN}"}:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Invalid credentials in Authorization header")
        repository = self._repositories.get(name)
        if repository is None or (repository.private and authorization is None):
            status = HTTPStatus.NOT_FOUND if authorization else HTTPStatus.UNAUTHORIZED
            raise Refusal(status, "Repository not found", code="RepoNotFound")
        return repository


class _Handler(BaseHTTPRequestHandler):
    """Carries requests to the Hub and its answers back.

    It speaks HTTP/1.0, one request a connection, so that a Hub that has stopped answers nobody any more.
    """

    def __init__(self, hub: HubServer, *of_the_server: Any) -> None:
        self._hub = hub
        super().__init__(*of_the_server)

    def do_HEAD(self) -> None:
        self._send(self._answer(), b"")

    def do_GET(self) -> None:
        answer = self._answer()
        self._send(answer, self._hub.sent_part(self._request, answer.body))

    @property
    def _request(self) -> Request:
        return Request(self.command, self.path, self.headers.get("Range", ""))

    def _answer(self) -> Answer:
        return self._hub.answer(self._request, {name.lower(): value for name, value in self.headers.items()})

    def _send(self, answer: Answer, body: bytes) -> None:
        with suppress(ConnectionError):  # the client may have given up
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self._hub.write(self.wfile, self._request, body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
