"""Nothing is sent into a network that is not public."""

from __future__ import annotations

import ipaddress

import pytest

from tasks import safe_http
from tasks.errors import AddressRefused
from tests.support.receiver import receiving

NOT_PUBLIC = [
    *("127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200"),
    *("168.63.129.16", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fd00:ec2::254", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::1"),
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        safe_http.check_address(ipaddress.ip_address(address), allow_loopback=False)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111"])
def test_a_public_address_is_allowed(address: str) -> None:
    safe_http.check_address(ipaddress.ip_address(address), allow_loopback=False)


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

        def resolve(host: str, port: int) -> list[safe_http.IPAddress]:
            resolved.append(host)
            return [ipaddress.ip_address("127.0.0.1")]

        assert safe_http.post(url, b"body", {}, allow_loopback=True, resolve=resolve) == 200

    assert resolved == ["receiver.invalid"]
    assert receiver.received[0][1]["host"].startswith("receiver.invalid")


def test_a_redirect_is_not_followed() -> None:
    with receiving(307) as receiver:
        assert safe_http.post(receiver.url, b"", {}, allow_loopback=True) == 307

    assert [path for path, _, _ in receiver.received] == ["/hook"]
