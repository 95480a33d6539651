"""Nothing is sent into a network that is not public, and nothing takes longer than it may."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator
from itertools import chain, repeat
from threading import Event

import pytest
import trustme

from tasks.errors import AddressRefused, DeliveryFailed
from tasks.outbound import safe_http
from tasks.outbound.public_addresses import IPAddress
from tests.support.receiver import pouring, receiving
from tests.support.waiting import patience


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_machine_is_refused_under_every_spelling(host: str) -> None:
    with receiving(200) as receiver:
        port = receiver.url.split(":")[2]
        with pytest.raises(AddressRefused):
            safe_http.post(f"http://{host}:{port}", b"", {}, allow_loopback=False)

    assert receiver.received == []


def test_one_private_address_of_a_name_is_enough_to_refuse_it() -> None:
    both = [ipaddress.ip_address("1.1.1.1"), ipaddress.ip_address("10.0.0.1")]

    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        safe_http.post("https://example.com/", b"", {}, allow_loopback=True, resolve=lambda *_: both)


def test_the_connection_goes_to_the_address_that_was_checked_and_keeps_the_name() -> None:
    with receiving(200) as receiver:
        url = receiver.url.replace("127.0.0.1", "receiver.invalid")
        resolved: list[str] = []

        def resolve(host: str, seconds: float) -> list[IPAddress]:
            resolved.append(host)
            return [ipaddress.ip_address("127.0.0.1")]

        assert safe_http.post(url, b"body", {}, allow_loopback=True, resolve=resolve) == 200

    assert resolved == ["receiver.invalid"]
    assert receiver.received[0][1]["host"].startswith("receiver.invalid")


def test_a_redirect_is_not_followed() -> None:
    with receiving(307) as receiver:
        assert safe_http.post(receiver.url, b"", {}, allow_loopback=True) == 307

    assert [path for path, _, _ in receiver.received] == ["/hook"]


def test_a_server_that_says_nothing_is_left() -> None:
    with receiving(200, pause_s=0.5) as receiver, pytest.raises(DeliveryFailed, match="in time"):
        safe_http.post(receiver.url, b"", {}, allow_loopback=True, total_s=0.1)


def test_a_server_that_answers_a_byte_now_and_then_is_left() -> None:
    with (
        receiving(200, pause_s=0.05) as receiver,
        pytest.raises(DeliveryFailed, match="in time"),
    ):
        safe_http.post(receiver.url, b"", {}, allow_loopback=True, total_s=0.2)


def test_a_name_server_that_is_slow_does_not_hold_the_sender() -> None:
    asked, begun = Event(), time.monotonic()

    def slow(host: str, seconds: float) -> list[IPAddress]:
        asked.wait(patience(60))
        return [ipaddress.ip_address("1.1.1.1")]

    with pytest.raises(DeliveryFailed, match="in time"):
        safe_http.post("https://example.com/", b"", {}, allow_loopback=False, resolve=slow, total_s=0.2)

    assert time.monotonic() - begun < patience(30)
    asked.set()


FOR_EVER = {
    "a header that never ends": chain([b"HTTP/1.1 200 OK\r\nX: "], repeat(b"a" * 1000)),
    "headers that never end": chain([b"HTTP/1.1 200 OK\r\n"], repeat(b"x: y\r\n")),
    "interim answers that never end": repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing at all": repeat(b""),
    "no HTTP": repeat(b"SSH-2.0-OpenSSH_9.6\r\n"),
}


@pytest.mark.parametrize("answer", FOR_EVER.values(), ids=FOR_EVER)
def test_an_answer_that_never_ends_is_left(answer: Iterator[bytes]) -> None:
    with pouring(answer) as url, pytest.raises(DeliveryFailed):
        safe_http.post(url, b"", {}, allow_loopback=True, total_s=1)


def test_of_a_huge_answer_the_status_is_enough() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"

    with pouring(chain([head], repeat(b"a" * 65536))) as url:
        assert safe_http.post(url, b"", {}, allow_loopback=True) == 200


def test_tls_that_is_never_agreed_on_is_left() -> None:
    with pouring(repeat(b"")) as url, pytest.raises(DeliveryFailed):
        safe_http.post(url.replace("http:", "https:"), b"", {}, allow_loopback=True, total_s=0.3)


class TestOverTls:
    """The certificate is checked against the name in the URL, whatever address that leads to."""

    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def certificate(self, authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("receiver.invalid").configure_cert(context)
        return context

    @pytest.fixture
    def trusting(self, authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    @staticmethod
    def post(url: str, host: str, tls: ssl.SSLContext | None, total_s: float = safe_http.TOTAL_S) -> int:
        here = [ipaddress.ip_address("127.0.0.1")]
        named = url.replace("127.0.0.1", host)
        return safe_http.post(
            named, b"body", {}, allow_loopback=True, resolve=lambda *_: here, tls=tls, total_s=total_s
        )

    def test_a_certificate_that_fits_is_accepted(self, certificate: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
        with receiving(200, tls=certificate) as receiver:
            assert self.post(receiver.url, "receiver.invalid", trusting) == 200

    def test_that_of_another_name_is_not(self, certificate: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
        with receiving(200, tls=certificate) as receiver, pytest.raises(DeliveryFailed, match="certificate"):
            self.post(receiver.url, "other.invalid", trusting)

        assert receiver.received == []

    def test_nor_that_of_an_authority_that_nobody_knows(self, certificate: ssl.SSLContext) -> None:
        with receiving(200, tls=certificate) as receiver, pytest.raises(DeliveryFailed, match="certificate"):
            self.post(receiver.url, "receiver.invalid", None)

        assert receiver.received == []

    def test_the_bound_holds_over_tls_too(self, certificate: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
        with (
            receiving(200, tls=certificate, pause_s=0.05) as receiver,
            pytest.raises(DeliveryFailed, match="in time"),
        ):
            self.post(receiver.url, "receiver.invalid", trusting, total_s=0.3)
