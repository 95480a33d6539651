"""Post to a URL that a client chose: never into our own network, never without bounds.

The name is resolved once. Every address that it has must be public, and the connection goes to one of those very
addresses, so that a second reply of the name server cannot lead elsewhere; TLS still checks the certificate against
the name. Redirects are not followed, proxies are not used, and of the response only the status is read.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import cache, partial
from threading import Thread
from typing import Any, TypeVar

import httpcore2

from tasks.errors import AddressRefused, DeliveryFailed
from tasks.outbound.host_addresses import NO_ADDRESS, Resolve, resolve
from tasks.outbound.public_addresses import IPAddress, is_public

TIMEOUT_S = 5.0
"""Seconds for each step: to resolve the name, to connect, to send, to wait for the next byte."""
TOTAL_S = 15.0
"""Seconds for the whole exchange, so that a server which sends a byte now and then does not hold a thread."""
ADDRESSES_TRIED = 3

Value = TypeVar("Value")


def check_address(address: IPAddress, *, allow_loopback: bool) -> None:
    """Check an address before anything is sent to it.

    Raises:
        AddressRefused: it is not public.
    """
    if not is_public(address) and not (allow_loopback and address.is_loopback):
        raise AddressRefused(f"{address} is not an address of the public internet. Name a host that is.")


def within(seconds: float, call: Callable[[], Value]) -> Value:
    """Return the result of a call that ends in time.

    Raises:
        TimeoutError: it is not there yet; the call goes on, and its result is dropped.
    """
    answer: Future[Value] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001  (raised again where it is waited for)
            answer.set_exception(error)

    Thread(target=work, daemon=True).start()
    return answer.result(seconds)


class Deadline:
    """The end of an exchange.

    Args:
        total_s: seconds from now.
    """

    def __init__(self, total_s: float) -> None:
        self._at = time.monotonic() + total_s

    def left(self, timeout: float | None = None) -> float:
        """Seconds that a step may take.

        Args:
            timeout: most seconds for the step.

        Raises:
            httpcore2.ReadTimeout: the deadline has passed.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("not done in time")
        return left if timeout is None else min(left, timeout)


class BoundedStream(httpcore2.NetworkStream):
    """A connection on which the time for everything together is bounded."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        return BoundedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class PublicNetwork(httpcore2.NetworkBackend):
    """Connects to checked addresses alone, once, and until the deadline."""

    def __init__(self, *, allow_loopback: bool, resolve: Resolve, deadline: Deadline) -> None:
        self._sockets = httpcore2.SyncBackend()
        self._allow_loopback = allow_loopback
        self._resolve = resolve
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError("no address was tried")
        for address in self._checked(host)[:ADDRESSES_TRIED]:
            try:
                stream = self._sockets.connect_tcp(
                    str(address), port, self._deadline.left(timeout), local_address, socket_options
                )
                return BoundedStream(stream, self._deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    def _checked(self, host: str) -> list[IPAddress]:
        """The addresses of a host, all of them public."""
        seconds = self._deadline.left(TIMEOUT_S)
        try:
            addresses = within(seconds, partial(self._resolve, host, seconds))
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("no name server answered in time") from error
        for address in addresses:
            check_address(address, allow_loopback=self._allow_loopback)
        if not addresses:
            raise DeliveryFailed(NO_ADDRESS)
        return addresses


@cache
def system_trust() -> ssl.SSLContext:
    """Return the trust store of the system. Reading it takes as long as a delivery, so it is read once."""
    return ssl.create_default_context()


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
    """Send a body and return the HTTP status of the response.

    Args:
        resolve: finds the addresses of a host.
        tls: by default the system's trust.
        total_s: seconds for the whole exchange, from the name to the status.

    Raises:
        AddressRefused: the host has an address that is not public.
        DeliveryFailed: no response came, or none in time; the message is for the receiver's owner.
    """
    network = PublicNetwork(allow_loopback=allow_loopback, resolve=resolve, deadline=Deadline(total_s))
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S)
    with httpcore2.ConnectionPool(ssl_context=tls or system_trust(), network_backend=network) as pool:
        try:
            with pool.stream(
                "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": timeout}
            ) as response:
                return response.status
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
            raise DeliveryFailed(in_words(error)) from error


def in_words(error: Exception) -> str:
    """Return the error in words, without anything about our network."""
    reasons = [error, error.__cause__, error.__context__]
    if any(isinstance(reason, ssl.SSLCertVerificationError) for reason in reasons):
        return "the certificate is not valid for this host"
    if any(isinstance(reason, ssl.SSLError) for reason in reasons):
        return "no TLS connection could be made"
    if isinstance(error, httpcore2.TimeoutException):
        return "no answer came in time"
    if isinstance(error, httpcore2.ProtocolError):
        return "the answer is not one of HTTP"
    return "no connection could be made, or it was closed before the answer"
