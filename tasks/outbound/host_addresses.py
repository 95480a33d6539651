"""The addresses of a host, resolved in a bounded time.

The system's own resolver cannot be interrupted, so the name servers of ``/etc/resolv.conf`` are asked directly.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable
from itertools import zip_longest

import dns.exception
import dns.resolver

from tasks.errors import DeliveryFailed
from tasks.outbound.public_addresses import IPAddress

NO_ADDRESS = "the name of the host leads to no address of the public internet"

Resolve = Callable[[str, float], list[IPAddress]]
"""Finds the addresses of a host within these seconds."""


def literal_address(host: str) -> IPAddress | None:
    """The address that a host is written as, also in the short forms of IPv4 (``127.1``); None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def resolve(host: str, timeout_s: float) -> list[IPAddress]:
    """Every address of a host, those of IPv4 and IPv6 in turn: this machine may be able to reach one kind alone.

    Raises:
        DeliveryFailed: it has none, or no name server answers in time.
    """
    if (address := literal_address(host)) is not None:
        return [address]
    if f".{host.lower().rstrip('.')}".endswith(".localhost"):  # RFC 6761: never asked of a name server
        return [ipaddress.IPv4Address("127.0.0.1")]
    return asked_of_name_servers(host, timeout_s)


def asked_of_name_servers(host: str, timeout_s: float) -> list[IPAddress]:
    """Return every address of a name, from the name servers.

    Raises:
        DeliveryFailed: as ``resolve`` does.
    """
    deadline, found, failure = time.monotonic() + timeout_s, list[list[IPAddress]](), Exception("no answer")
    for kind in ("A", "AAAA"):
        try:
            answer = dns.resolver.Resolver().resolve(host, kind, lifetime=max(0.0, deadline - time.monotonic()))
            found.append([ipaddress.ip_address(record.address) for record in answer])
        except (dns.exception.DNSException, UnicodeError) as error:  # many a server answers for one of the kinds alone
            failure = error
    if not found:
        raise DeliveryFailed(NO_ADDRESS) from failure
    return [address for pair in zip_longest(*found) for address in pair if address is not None]
