"""The proxy in front of a server: it passes on, loses answers, refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from stack.ports import LOOPBACK, Ports
from stack.soak.proxy import Proxy, proxying
from stack.soak.recorded_client import halves
from stack.soak.server_faults import STORAGE
from tasks.api_client import ApiClient, ApiResponse
from tasks.errors import ServerSilent
from tests.support.waiting import patience


class Keeper(BaseHTTPRequestHandler):
    """Keeps what is sent to it."""

    protocol_version = "HTTP/1.1"
    kept: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.kept.append(body)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def kept() -> list[bytes]:
    return []


@pytest.fixture
def proxy(kept: list[bytes]) -> Iterator[Proxy]:
    """A proxy in front of a server that keeps what it gets."""
    handler = type("Handler", (Keeper,), {"kept": kept})
    with ExitStack() as cleanup:
        server = cleanup.enter_context(ThreadingHTTPServer((LOOPBACK, 0), handler))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        cleanup.callback(thread.join)
        cleanup.callback(server.shutdown)
        proxy = Proxy(Ports.free().api, server.server_port)
        cleanup.enter_context(proxying(proxy))
        yield proxy


def send(proxy: Proxy, body: bytes = b"image", pause_s: float = 0) -> ApiResponse:
    with ApiClient(f"http://{LOOPBACK}:{proxy.port}", None) as client:
        return client.send("POST", "/", halves(body, pause_s), {"Content-Length": str(len(body))})


def test_what_is_sent_arrives_and_what_is_answered_comes_back(proxy: Proxy, kept: list[bytes]) -> None:
    body = bytes(range(256)) * 4000

    assert send(proxy, body, pause_s=0.1).body == body
    assert kept == [body]


def test_a_lost_answer_is_of_something_that_was_done(proxy: Proxy, kept: list[bytes]) -> None:
    proxy.loses_answers = True

    with pytest.raises(ServerSilent):
        send(proxy)

    assert kept == [b"image"]


@pytest.mark.parametrize("name", [name for name in STORAGE if name != "cut"])
def test_a_refusal_is_of_something_that_was_not_done(proxy: Proxy, kept: list[bytes], name: str) -> None:
    proxy.refusal = STORAGE[name]

    answered = send(proxy, bytes(10**6))

    assert answered.status in (400, 403, 409, 429, 500, 503)
    assert b"<Code>" in answered.body
    assert kept == []


def test_a_connection_that_is_cut_is_silence(proxy: Proxy, kept: list[bytes]) -> None:
    proxy.refusal = STORAGE["cut"]

    with pytest.raises(ServerSilent):
        send(proxy)

    assert kept == []


def test_after_the_fault_everything_passes_as_before(proxy: Proxy) -> None:
    proxy.refusal, proxy.loses_answers = STORAGE["cut"], True
    with pytest.raises(ServerSilent):
        send(proxy)

    proxy.refusal, proxy.loses_answers = None, False

    assert send(proxy).body == b"image"


def test_a_server_that_is_away_is_silence() -> None:
    nobody, port = Ports.free(), Ports.free()
    with (
        proxying(Proxy(port.api, nobody.admin)),
        ApiClient(f"http://{LOOPBACK}:{port.api}", None, timeout_s=patience(5)) as client,
        pytest.raises(ServerSilent),
    ):
        client.get("/")
