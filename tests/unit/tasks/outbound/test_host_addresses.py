"""The addresses of a host are found in a bounded time, from real name servers."""

from __future__ import annotations

import ipaddress
import socket

import dns.resolver
import pytest

from tasks.errors import DeliveryFailed
from tasks.outbound.host_addresses import resolve
from tests.support.name_server import name_server


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "api.localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1"]
)
def test_this_machine_is_found_under_every_spelling_without_a_name_server(host: str) -> None:
    assert resolve(host, 0) == [ipaddress.ip_address("127.0.0.1")]


def test_a_name_server_that_is_silent_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], silent.getsockname()[1]
        monkeypatch.setattr(dns.resolver, "Resolver", lambda: resolver)

        with pytest.raises(DeliveryFailed, match="no address"):
            resolve("example.com", 0.3)


def test_addresses_of_both_kinds_are_tried_in_turn_and_one_kind_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = {"both.example": ["192.0.2.1", "192.0.2.2", "2001:db8::1"], "new.example": ["2001:db8::1"]}
    with name_server(zone) as port:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], port
        monkeypatch.setattr(dns.resolver, "Resolver", lambda: resolver)

        both, new = (list(map(str, resolve(host, 5))) for host in zone)
        with pytest.raises(DeliveryFailed, match="no address"):
            resolve("old.example", 5)

    assert sorted(both) == sorted(zone["both.example"])
    assert [":" in address for address in both] == [False, True, False]
    assert new == ["2001:db8::1"]
