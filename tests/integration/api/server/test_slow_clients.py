"""gunicorn as it is configured, under clients that are slow, silent or odd: a good client is served all the while."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from select import select
from threading import Event, Thread
from typing import Any

import psutil
import pytest

from stack.folder import StackFolder
from stack.parts import Parts
from stack.ports import LOOPBACK, Ports
from stack.services import api_part
from storage import S3Config
from tasks.keys import KeyLimits
from tasks.settings import PREFIX
from tasks.valkey import connect
from tests.support.services import make_service
from tests.support.waiting import patience

LIMITS = KeyLimits(requests_per_minute=100_000, queued_jobs=100, pixel_steps_per_day=10**9)
JSON = "Content-Type: application/json\r\n"
FORM = (
    b'--B\r\nContent-Disposition: form-data; name="entry"\r\n\r\n{"name": "x"}\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + (2_000_000).to_bytes(8, "little")
)


class Api:
    """A running API, a key of a good client's and one of somebody else's."""

    def __init__(self, port: int, good: str, other: str) -> None:
        self.port = port
        self._good, self._other = (f"Authorization: Bearer {key}\r\n" for key in (good, other))

    def connect(self) -> socket.socket:
        return socket.create_connection((LOOPBACK, self.port), timeout=patience(30))

    def head(self, line: str, fields: str = "", *, key: bool = True) -> bytes:
        """The head of a request of the other client's."""
        return f"{line} HTTP/1.1\r\nHost: localhost\r\n{self._other if key else ''}{fields}\r\n".encode()

    def serves_a_good_client(self) -> bool:
        """Return whether all of some requests are answered before a client would give up."""
        return {self._good_request() for _ in range(5)} == {200}

    def _good_request(self) -> int:
        client = http.client.HTTPConnection(LOOPBACK, self.port, timeout=patience(10))
        name, _, value = self._good.strip().partition(": ")
        try:
            client.request("GET", "/v1/models", headers={name: value})
            return client.getresponse().status
        except TimeoutError:
            return 0
        finally:
            client.close()


@contextmanager
def running(valkey_url: str, s3: S3Config, folder: Path, *options: str) -> Iterator[tuple[Api, Parts]]:
    """The API under gunicorn, as ``scripts/up`` starts it."""
    settings: dict[str, Any] = {
        "valkey_url": valkey_url,
        "s3_endpoint": s3.endpoint,
        "s3_bucket": "slow-clients",
        "s3_access_key": s3.access_key,
        "s3_secret_key": s3.secret_key,
    }
    with connect(valkey_url) as valkey:
        valkey.flushall()
    service = make_service(folder, **settings)
    parts, port = Parts(StackFolder(folder)), Ports.free().api
    environment = {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}
    keys = [service.keys.create(name, LIMITS)[1] for name in ("good", "other")]
    part = api_part(port, environment)
    parts.start([replace(part, command=(*part.command, *options))])
    yield Api(port, *keys), parts
    parts.stop(urgent=True)


@pytest.fixture(scope="module")
def api(valkey_url: str, s3: S3Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API for all tests that leave it running."""
    with running(valkey_url, s3, tmp_path_factory.mktemp("api")) as (api, _):
        yield api


@contextmanager
def clients(api: Api, count: int, first: bytes, then: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections that send this, and then a piece now and then, and read nothing."""
    with ExitStack() as stack:
        connections = [stack.enter_context(api.connect()) for _ in range(count)]
        for connection in connections:
            connection.sendall(first)
            connection.setblocking(False)
        over = Event()
        dripping = Thread(target=drip, args=(connections, then, over))
        dripping.start()
        time.sleep(0.5)
        try:
            yield connections
        finally:
            over.set()
            dripping.join()


def drip(connections: list[socket.socket], piece: bytes, over: Event) -> None:
    while piece and not over.wait(0.2):
        for connection in connections:
            try:
                connection.send(piece)
            except OSError:  # it is full, or cut off
                continue


MANY = 80
"""More than the threads of both processes."""


class TestAGoodClientIsServedWhile:
    @pytest.mark.parametrize("then", [b"", b"a"], ids=["stop", "trickle"])
    def test_heads_never_end(self, api: Api, then: bytes) -> None:
        with clients(api, MANY, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ", then):
            assert api.serves_a_good_client()

    @pytest.mark.parametrize("key", [True, False], ids=["with a key", "without"])
    @pytest.mark.parametrize(
        ("fields", "begin", "then"),
        [
            ("Content-Length: 1000\r\n", b"{", b""),
            ("Content-Length: 60000\r\n", b"{", b" "),
            ("Transfer-Encoding: chunked\r\n", b"1\r\n{\r\n", b"1\r\n \r\n"),
            ("Content-Length: 1000\r\nExpect: 100-continue\r\n", b"", b""),
        ],
        ids=["stop", "trickle", "chunks", "expect"],
    )
    def test_bodies_never_end(self, api: Api, fields: str, begin: bytes, then: bytes, *, key: bool) -> None:
        with clients(api, MANY, api.head("POST /v1/jobs", JSON + fields, key=key) + begin, then):
            assert api.serves_a_good_client()

    @pytest.mark.parametrize("key", [True, False], ids=["with a key", "without"])
    @pytest.mark.parametrize(
        ("path", "content_type", "begin"),
        [
            ("/v1/adapters", "multipart/form-data; boundary=B", FORM),
            ("/v1/batches", "application/jsonl", b"{" + b" " * 100_000),
            ("/nowhere", "application/jsonl", b"{" + b" " * 100_000),
        ],
    )
    def test_uploads_trickle(self, api: Api, path: str, content_type: str, begin: bytes, *, key: bool) -> None:
        head = api.head(f"POST {path}", f"Content-Type: {content_type}\r\nContent-Length: 900000000\r\n", key=key)
        with clients(api, MANY, head + begin, b" "):
            assert api.serves_a_good_client()

    @pytest.mark.parametrize("path", ["/openapi.json", "/docs/swagger/js/swagger-ui-bundle.js", "/healthz"])
    def test_answers_are_not_read(self, api: Api, path: str) -> None:
        with clients(api, MANY, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 200):
            assert api.serves_a_good_client()

    def test_answered_clients_do_not_hang_up(self, api: Api) -> None:
        with clients(api, MANY, b"GET /healthz HTTP/1.0\r\n\r\n", b"a"):
            assert api.serves_a_good_client()

    def test_second_requests_never_end(self, api: Api) -> None:
        whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
        with clients(api, MANY, whole + b"\r\n" + whole):
            assert api.serves_a_good_client()

    def test_thousands_are_connected_and_silent(self, api: Api) -> None:
        with clients(api, 2_500, b""):
            assert api.serves_a_good_client()


def answers(connection: socket.socket, count: int) -> list[bytes]:
    """The heads of the next answers, whose bodies have a length."""
    file = connection.makefile("rb")
    heads = []
    for _ in range(count):
        head = b"".join(iter(file.readline, b"\r\n"))
        length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:")), 0)
        file.read(length)
        heads.append(head)
    return heads


def statuses(connection: socket.socket, count: int) -> list[int]:
    return [int(head.split()[1]) for head in answers(connection, count)]


BODY = json.dumps({"prompt": "", "unknown": 1}).encode()
"""What a view refuses after it has read it: 422."""


class TestWhatGoesOnWorking:
    def test_a_request_byte_by_byte(self, api: Api) -> None:
        request = api.head("POST /v1/jobs", f"{JSON}Content-Length: {len(BODY)}\r\n") + BODY
        with api.connect() as connection:
            for place in range(len(request)):
                connection.sendall(request[place : place + 1])

            assert statuses(connection, 1) == [422]

    def test_requests_in_a_row_on_one_connection(self, api: Api) -> None:
        with api.connect() as connection:
            for _ in range(3):
                connection.sendall(api.head("GET /v1/models"))
                assert statuses(connection, 1) == [200]
                time.sleep(2.5)  # longer than gunicorn keeps a connection by default

    def test_requests_that_are_sent_at_once(self, api: Api) -> None:
        post = api.head("POST /v1/jobs", f"{JSON}Content-Length: {len(BODY)}\r\n") + BODY
        with api.connect() as connection:
            connection.sendall((api.head("GET /v1/models") + post) * 20)

            assert statuses(connection, 40) == [200, 422] * 20

    @pytest.mark.parametrize("size", [1, 7, 10_000])
    def test_a_body_in_chunks(self, api: Api, size: int) -> None:
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(part), part)
            for part in (BODY[place : place + size] for place in range(0, len(BODY), size))
        )
        with api.connect() as connection:
            connection.sendall(
                api.head("POST /v1/jobs", f"{JSON}Transfer-Encoding: chunked\r\n") + chunks + b"0\r\n\r\n"
            )

            assert statuses(connection, 1) == [422]

    def test_an_old_client(self, api: Api) -> None:
        with api.connect() as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")

            assert connection.makefile("rb").read().startswith(b"HTTP/1.0 200")

    def test_a_client_that_waits_until_its_body_is_wanted_hears_it_once(self, api: Api) -> None:
        with api.connect() as connection:
            connection.sendall(
                api.head("POST /v1/jobs", f"{JSON}Content-Length: {len(BODY)}\r\nExpect: 100-continue\r\n")
            )
            assert statuses(connection, 1) == [100]
            connection.sendall(BODY)

            assert statuses(connection, 1) == [422]

    def test_a_client_that_ends_its_side_with_its_request(self, api: Api) -> None:
        with api.connect() as connection:
            connection.sendall(api.head("GET /v1/models", "Connection: close\r\n"))
            connection.shutdown(socket.SHUT_WR)

            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")

    def test_an_answer_that_is_read_slowly_is_whole(self, api: Api) -> None:
        with api.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            while part := connection.recv(4096):
                answer += part
                time.sleep(0.01)

        assert json.loads(answer.partition(b"\r\n\r\n")[2])["openapi"]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000, 431),
            (b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: a\r\n" % number for number in range(101)) + b"\r\n", 431),
            (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\n\r\n", 414),
            (b"GET / HTTP/1.1\nHost: x\n\n", 400),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;a=b\r\nc\r\n" * 50_000, 413),
        ],
        ids=["a long field", "many fields", "a long path", "bare line ends", "a body that is mostly framing"],
    )
    def test_it_is_said_at_once(self, api: Api, request_: bytes, status: int) -> None:
        with api.connect() as connection:
            connection.sendall(request_)

            assert statuses(connection, 1) == [status]

    def test_more_uploads_of_one_key_than_it_may_have(self, api: Api) -> None:
        fields = "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 900000000\r\n"
        with clients(api, 9, api.head("POST /v1/adapters", fields) + FORM) as connections:
            answered, _, _ = select(connections, [], [], 10)  # of nine, one of the two processes has more than four

            assert answered[0].recv(100).startswith(b"HTTP/1.1 429")


def test_an_end_waits_for_answers_and_not_for_silent_clients(valkey_url: str, s3: S3Config, tmp_path: Path) -> None:
    grace_s = patience(30)
    options = ("--graceful-timeout", f"{grace_s:.0f}")
    with running(valkey_url, s3, tmp_path, *options) as (api, parts), ExitStack() as stack:
        silent, idle, asking = (stack.enter_context(api.connect()) for _ in range(3))
        silent.sendall(b"GET /heal")
        idle.sendall(api.head("GET /v1/models"))
        assert statuses(idle, 1) == [200]
        asking.sendall(api.head("POST /v1/jobs", f"{JSON}Content-Length: 15\r\n") + b'{"prompt": "a"}')
        [answer] = answers(asking, 1)
        [location] = [line[10:].decode() for line in answer.splitlines() if line.startswith(b"Location: ")]
        asking.sendall(api.head(f"GET {location}?wait=3"))
        time.sleep(0.5)

        process = psutil.Process(parts.pid("api"))
        process.terminate()

        assert statuses(asking, 1) == [200]
        process.wait(timeout=grace_s - patience(5))  # gunicorn would wait for all of it for what does not end
