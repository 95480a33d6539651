"""Nothing inside is taken for an address of the public internet."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.outbound.public_addresses import NETWORKS, SPECIAL, Network, is_public

INSIDE = """
    169.254.169.254 100.100.100.200 192.0.0.9 192.0.0.170 192.0.0.192 255.255.255.255 0.0.0.0
    :: ::1 fd00:ec2::254 fe80::1%eth0 2606:4700::1111%eth0 fec0::1 fed0::1 feff::1
    ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1
    64:ff9b:1:ffff::7f00:1 2001:0:7f00:1::1 2001:2::1 2001:10::1 2001:20::1 2001:30::1 2001:db8::1
    3fff::1 3fff:fff:ffff::1 5f00::1 100::1 100:0:0:1::1 200::1 4000::1 8000::1
    2606:4700::5efe:10.0.0.1 2606:4700::200:5efe:127.0.0.1
"""


@pytest.mark.parametrize("network", NETWORKS, ids=SPECIAL)
def test_neither_end_of_a_special_network_is_public(network: Network) -> None:
    assert not is_public(network[0])
    assert not is_public(network[-1])


@pytest.mark.parametrize("address", INSIDE.split())
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "223.255.255.255", "2606:4700::1111", "2a00::5eff:0:1"])
def test_an_address_of_the_public_internet_is(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(data=st.data(), network=st.sampled_from(NETWORKS))
def test_no_address_of_a_special_network_is_public(data: st.DataObject, network: Network) -> None:
    assert not is_public(data.draw(st.ip_addresses(network=network)))


@given(st.ip_addresses())
def test_what_python_calls_private_or_special_is_never_public(address: ipaddress.IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_is_not_public_in_any_notation_of_ipv6(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    notations = ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::")

    wrapped = [ipaddress.IPv6Address(int(ipaddress.IPv6Address(notation)) + number) for notation in notations]
    wrapped.append(ipaddress.IPv6Address((0x2002 << 112) + (number << 80)))

    assert not any(map(is_public, wrapped))
