"""Public internet addresses: the only ones to which requests for a client are sent.

Python's ``is_global`` differs between versions (3.11 calls ``fec0::/10`` and ``3fff::/20`` public), so the registries
of special-purpose addresses are listed here, with the other ways inside. Of IPv6, IANA has given ``2000::/3``
alone to the public internet.

Sources: https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry, https://www.iana.org/assignments/ipv6-address-space.
"""

from __future__ import annotations

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

SPECIAL: dict[str, str] = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared by the customers of a provider",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "the platform of Azure; those of other clouds are link-local, shared or private",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignments",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "AS112, answers reverse lookups of private addresses",
    "192.52.193.0/24": "relays of automatic multicast tunneling",
    "192.88.99.0/24": "relays of 6to4",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "AS112",
    "198.18.0.0/15": "benchmarks",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved, and broadcast",
    # Everything outside 2000::/3 is refused as a whole; these are the parts of it that have a name.
    "::/96": "unspecified, loopback, and IPv4 addresses in an old notation",
    "::ffff:0:0/96": "IPv4 addresses in the notation of IPv6",
    "::ffff:0:0:0/96": "IPv4 addresses, translated",
    "64:ff9b::/96": "IPv4 addresses behind NAT64",
    "64:ff9b:1::/48": "IPv4 addresses behind a NAT64 of one's own",
    "100::/64": "discard",
    "100:0:0:1::/64": "dummy",
    "5f00::/16": "segment routing",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
    "2001::/23": "protocol assignments: Teredo, benchmarks, ORCHID and others",
    "2001:db8::/32": "documentation",
    "2002::/16": "IPv4 addresses behind 6to4",
    "2620:4f:8000::/48": "AS112",
    "3fff::/20": "documentation",
}
"""Networks that are not of the public internet, with their names."""

ISATAP = 0x5EFE
"""Before the IPv4 address with which an address of an ISATAP tunnel ends, in any network (RFC 5214)."""
UNIVERSAL = 0x0200_0000
"""A bit beside it that may be set or clear."""

NETWORKS: tuple[Network, ...] = tuple(map(ipaddress.ip_network, SPECIAL))


def is_public(address: IPAddress) -> bool:
    """Return whether an address is a unicast address of the public internet that does not stand for another address."""
    if isinstance(address, ipaddress.IPv6Address) and not is_plain(address):
        return False
    return not any(address in network for network in NETWORKS if network.version == address.version)


def is_plain(address: ipaddress.IPv6Address) -> bool:
    """Return whether an address is a unicast one for which no network interface and no tunnel is named."""
    is_tunnel = (int(address) >> 32) & 0xFFFF_FFFF & ~UNIVERSAL == ISATAP
    return address in GLOBAL_UNICAST and address.scope_id is None and not is_tunnel
