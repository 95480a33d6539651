"""Post to an address that a stranger chose: never into our own network, never without bounds.

The name is resolved once. Every address that it has must be public, and the connection goes to one of those very
addresses, so that a second answer of the name server cannot lead elsewhere; TLS still checks the certificate against
the name. Redirects are not followed, proxies are not used, and of the answer only the status is read.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpcore2

from tasks.errors import AddressRefused, DeliveryFailed

TIMEOUT_S = 5.0
"""For each step: to connect, to send, to wait for the next byte."""
TOTAL_S = 15.0
"""For the whole exchange, so that a server which sends a byte now and then does not hold a thread."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Azure's platform address; those of the other clouds are link-local, shared or private."""


def is_public(address: IPAddress) -> bool:
    """Whether an address is of the public internet, and no wrapping of an address that may not be.

    ``is_reserved`` covers IPv4-mapped and IPv4-compatible addresses and NAT64; 6to4 stands apart.
    """
    wraps_another = isinstance(address, ipaddress.IPv6Address) and address.sixtofour is not None
    special = address.is_multicast or address.is_reserved or wraps_another or address in METADATA
    return address.is_global and not special


def check_address(address: IPAddress, *, allow_loopback: bool) -> None:
    """Check an address before anything is sent to it.

    Raises:
        AddressRefused: it is not public.
    """
    if not is_public(address) and not (allow_loopback and address.is_loopback):
        raise AddressRefused(f"{address} is not an address of the public internet. Name a host that is.")


def resolve(host: str, port: int) -> list[IPAddress]:
    """Every address of a host, in the resolver's order.

    Raises:
        DeliveryFailed: the name has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeliveryFailed(f"the name of the host cannot be resolved ({error})") from error
    return list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))


Resolve = Callable[[str, int], list[IPAddress]]


class BoundedStream(httpcore2.NetworkStream):
    """A connection on which the time for everything together is bounded."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def _left(self, timeout: float | None) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("not done in time")
        return left if timeout is None else min(left, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return BoundedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class PublicNetwork(httpcore2.NetworkBackend):
    """Connects to nothing but checked addresses."""

    def __init__(self, *, allow_loopback: bool, resolve: Resolve, total_s: float) -> None:
        self._sockets = httpcore2.SyncBackend()
        self._allow_loopback = allow_loopback
        self._resolve = resolve
        self._total_s = total_s

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        deadline = time.monotonic() + self._total_s
        addresses = self._resolve(host, port)
        for address in addresses:
            check_address(address, allow_loopback=self._allow_loopback)
        failure: Exception = httpcore2.ConnectError("the name has no address")
        for address in addresses[:3]:
            try:
                stream = self._sockets.connect_tcp(str(address), port, timeout, local_address, socket_options)
                return BoundedStream(stream, deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow_loopback: bool,
    resolve: Resolve = resolve,
    tls: ssl.SSLContext | None = None,
    total_s: float = TOTAL_S,
) -> int:
    """Send a body and return the HTTP status of the answer.

    Args:
        resolve: finds the addresses of a host.
        tls: by default one that trusts what the system trusts.
        total_s: seconds for the whole exchange.

    Raises:
        AddressRefused: the host has an address that is not public.
        DeliveryFailed: no answer came, or none in time.
    """
    network = PublicNetwork(allow_loopback=allow_loopback, resolve=resolve, total_s=total_s)
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S)
    context = tls or ssl.create_default_context()
    with httpcore2.ConnectionPool(ssl_context=context, network_backend=network) as pool:
        try:
            with pool.stream(
                "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": timeout}
            ) as response:
                return response.status
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
            raise DeliveryFailed(f"no answer ({type(error).__name__}: {error})") from error
