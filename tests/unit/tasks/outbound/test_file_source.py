"""Files of other servers: from public addresses alone, hop by hop, and no token for another server."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from tasks.errors import AddressRefused, DeliveryFailed, InvalidRequest
from tasks.outbound.file_source import FileSources
from tasks.outbound.host_addresses import Resolve
from tasks.outbound.public_addresses import IPAddress
from tests.support.file_server import FileServer, serving_files
from tests.support.receiver import pouring

CONTENT = b"0123456789"
TOKEN = SecretStr("hunter2")
HERE = FileSources(("*",), allow_loopback=True)


@pytest.fixture(scope="module")
def host() -> Iterator[FileServer]:
    with serving_files({"/a": CONTENT}) as server:
        yield server


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[FileServer]:
    with serving_files({"/signed": CONTENT}) as server:
        yield server


def read(url: str, sources: FileSources = HERE, *, first_bytes: int | None = None, total_s: float = 30) -> bytes:
    with sources.opened(url, first_bytes=first_bytes, total_s=total_s) as answer:
        return b"".join(answer.parts)


def to_loopback(host: str, seconds: float) -> list[IPAddress]:
    return [ipaddress.ip_address("127.0.0.1")]


def to_private(host: str, seconds: float) -> list[IPAddress]:
    return [ipaddress.ip_address("10.0.0.1")]


def names_to_private(host: str, seconds: float) -> list[IPAddress]:
    return to_private(host, seconds) if host == "example.com" else [ipaddress.ip_address(host)]


def test_a_file_is_read_or_its_beginning_alone(host: FileServer) -> None:
    assert read(f"{host.url}/a") == CONTENT
    assert read(f"{host.url}/a", first_bytes=3) == CONTENT[:3]


def test_the_answer_tells_size_and_version(host: FileServer) -> None:
    for first_bytes in (None, 3):
        with HERE.opened(f"{host.url}/a", first_bytes=first_bytes) as answer:
            assert (answer.size_bytes, len(answer.validator)) == (len(CONTENT), 34)


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "192.168.1.1", "[fd00::1]"])
def test_what_is_not_public_is_refused_before_it_is_asked(address: str) -> None:
    with pytest.raises(InvalidRequest, match="not an address of the public internet"):
        FileSources(("*",)).check(f"https://{address}/a.safetensors")


@pytest.mark.parametrize("resolve", [to_loopback, to_private])
def test_nor_is_it_reached_by_a_name(host: FileServer, resolve: Resolve) -> None:
    port, before = urlsplit(host.url).port, len(host.requests)

    with pytest.raises(AddressRefused):
        read(f"https://example.com:{port}/a", FileSources(("*",), resolve=resolve))

    assert len(host.requests) == before


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("http://10.0.0.1/a", InvalidRequest),
        ("https://169.254.169.254/latest", InvalidRequest),
        ("http://example.com/a", InvalidRequest),
        ("https://user:password@example.com/a", InvalidRequest),
        ("https://example.com:25/a", InvalidRequest),
        ("ftp://example.com/a", InvalidRequest),
        ("file:///etc/passwd", InvalidRequest),
        ("https://example.com/a", AddressRefused),
    ],
)
def test_each_redirect_is_checked_as_the_first_address_is(
    host: FileServer, location: str, error: type[Exception]
) -> None:
    host.redirects["/to"] = location

    with pytest.raises(error):
        read(f"{host.url}/to", FileSources(("*",), allow_loopback=True, resolve=names_to_private))


def test_redirects_are_followed_a_few_times_and_not_for_ever(host: FileServer, elsewhere: FileServer) -> None:
    host.redirects |= {"/one": "/two?x=1", "/two?x=1": f"{elsewhere.url}/signed#part", "/round": "/round"}

    assert read(f"{host.url}/one") == CONTENT
    with pytest.raises(DeliveryFailed, match="redirects too often"):
        read(f"{host.url}/round")


def test_a_server_of_ours_may_be_anywhere_and_sends_nobody_elsewhere(host: FileServer) -> None:
    host.redirects["/away"] = "/a"

    with FileSources(()).opened(f"{host.url}/a", is_ours=True) as answer:
        assert b"".join(answer.parts) == CONTENT
    with FileSources(()).opened(f"{host.url}/away", is_ours=True) as answer:
        assert answer.status == HTTPStatus.FOUND


def test_a_token_goes_to_its_server_and_not_with_a_redirect_to_another(host: FileServer, elsewhere: FileServer) -> None:
    host.redirects |= {"/download": "/inner", "/inner": f"{elsewhere.url}/signed"}
    host.requests.clear()
    elsewhere.requests.clear()

    read(f"{host.url}/download", FileSources(("*",), {"127.0.0.1": TOKEN}, allow_loopback=True))

    assert [headers.get("authorization") for _, headers in host.requests] == ["Bearer hunter2"] * 2
    assert [headers.get("authorization") for _, headers in elsewhere.requests] == [None]


def test_without_a_token_of_that_host_none_is_sent(host: FileServer) -> None:
    host.requests.clear()

    read(f"{host.url}/a", FileSources(("*",), {"civitai.com": TOKEN}, allow_loopback=True))

    assert "authorization" not in host.requests[0][1]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.com/a", "over https alone"),
        ("https://user@example.com/a", "neither user nor password"),
        ("https://example.com:22/a", "ports 443, and 1024 and above"),
        ("https://example.com/\u6c34", "percent-encoded"),
        ("https://example.com/a b", "percent-encoded"),
        ("https:///a", "Name a host"),
        ("https://[1/a", "not a URL"),
        ("https://civitai.com/api/download/models/1?type=Model&token=abc", "Leave token out"),
        ("https://example.com/a?API_KEY=abc", "Leave api_key out"),
    ],
)
def test_an_address_that_is_not_read_from_says_why(url: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        FileSources(("*",)).check(url)

    assert refused.value.field is None


def test_the_operator_chooses_the_hosts() -> None:
    sources = FileSources(("civitai.com",))

    sources.check("https://civitai.com/a")
    sources.check("https://cdn.civitai.com/a")
    for other in ("https://notcivitai.com/a", "https://civitai.com.evil.org/a", "https://example.com/a"):
        with pytest.raises(InvalidRequest, match="takes no adapters from"):
            sources.check(other)


def test_a_server_that_sends_a_little_now_and_then_is_left() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    with pouring([head, *[b"x"] * 10_000], pause_s=0.05) as url, pytest.raises(DeliveryFailed, match="in time"):
        read(url, total_s=1)
