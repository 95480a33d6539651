"""Files on other servers, at addresses that clients chose: read within bounds, from the public internet alone.

Redirects are followed, as hosts of files answer with one to a signed address; every hop is checked as the first address
is, and a token goes to no other server than the one that it is set for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, urljoin

import httpcore2
from pydantic import SecretStr

from tasks.errors import AddressRefused, DeliveryFailed, InvalidRequest
from tasks.outbound.host_addresses import Resolve, literal_address, resolve
from tasks.outbound.safe_http import (
    TIMEOUT_S,
    TOTAL_S,
    BoundedStream,
    Deadline,
    PublicNetwork,
    check_address,
    in_words,
    system_trust,
)
from tasks.outbound.webhook_target import FIRST_FREE_PORT, parts_of, port_of

ANY_HOST = "*"
HTTPS_PORT = 443
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SECRETS = frozenset({"token", "api_key", "apikey", "key", "access_token", "auth"})
"""Parameters of an address that hold a secret: an adapter's address is in records and in the metadata of images."""


@dataclass(frozen=True)
class Answer:
    """The answer of a server, or its beginning.

    Attributes:
        status: of HTTP.
        size_bytes: of the whole file; None if the server does not say.
        validator: by which the server tells one version of the file from another; empty if it does not.
        parts: what it sends, as it comes.
    """

    status: int
    size_bytes: int | None
    validator: str
    parts: Iterator[bytes]


@dataclass(frozen=True)
class FileSources:
    """The servers that files are read from.

    Attributes:
        hosts: that an address may name, with all below them; ``*`` is any.
        tokens: for each host that wants one, sent as a bearer's.
        allow_loopback: also this machine, and there over plain http, for tests.
        resolve: finds the addresses of a host.
    """

    hosts: tuple[str, ...]
    tokens: Mapping[str, SecretStr] = field(default_factory=dict)
    allow_loopback: bool = False
    resolve: Resolve = resolve

    def check(self, url: str) -> None:
        """Check an address that a client chose, as far as that is possible before its host is resolved.

        Raises:
            InvalidRequest: nothing is read from there; the message says why.
        """
        parts = self._checked(url)
        host = parts.hostname or ""
        if ANY_HOST not in self.hosts and not any(f".{host}".endswith(f".{allowed}") for allowed in self.hosts):
            raise InvalidRequest(f"This service takes no adapters from {host}.")
        names = {pair.partition("=")[0].lower() for pair in parts.query.split("&")}
        if secrets := names & SECRETS:
            raise InvalidRequest(
                f"Leave {', '.join(sorted(secrets))} out of the address: others may read it in the metadata of images. "
                "The operator of this service sets tokens."
            )

    @contextmanager
    def opened(
        self, url: str, *, first_bytes: int | None = None, is_ours: bool = False, total_s: float = TOTAL_S
    ) -> Iterator[Answer]:
        """Ask for a file, or for its first bytes; a server may send more than was asked for.

        Args:
            is_ours: the operator chose the server, so that it need not be public; it is let redirect nowhere.
            total_s: seconds for everything, from the name of the host to the last byte.

        Raises:
            AddressRefused: it leads to an address that is not public.
            DeliveryFailed: no answer came, or none in time; the message says so in words for the client.
            InvalidRequest: it redirects to where nothing is read from.
        """
        deadline = Deadline(total_s)
        network = (
            BoundedNetwork(deadline)
            if is_ours
            else PublicNetwork(allow_loopback=self.allow_loopback, resolve=self.resolve, deadline=deadline)
        )
        with httpcore2.ConnectionPool(ssl_context=system_trust(), network_backend=network) as pool:
            try:
                with self._followed(pool, url, first_bytes, 0 if is_ours else MAX_REDIRECTS) as response:
                    yield answer_of(response)
            except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
                raise DeliveryFailed(in_words(error)) from error

    @contextmanager
    def _followed(
        self, pool: httpcore2.ConnectionPool, url: str, first_bytes: int | None, redirects: int
    ) -> Iterator[httpcore2.Response]:
        """The answer behind every redirect."""
        first = url
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S)
        for _ in range(redirects + 1):
            headers = self._headers(first, url, first_bytes)
            with pool.stream("GET", url, headers=headers, extensions={"timeout": timeout}) as response:
                location = header(response, b"location")
                if not redirects or response.status not in REDIRECTS or not location:
                    yield response
                    return
            url = urljoin(url, quote(location, safe="%/:=&?~#+!$,;'@()*[]")).partition("#")[0]
            self._checked(url)
        raise DeliveryFailed("it redirects too often")

    def _headers(self, first: str, url: str, first_bytes: int | None) -> list[tuple[str, str]]:
        headers = [("Accept-Encoding", "identity"), ("User-Agent", "stokehold")]
        if first_bytes is not None:
            headers.append(("Range", f"bytes=0-{first_bytes - 1}"))
        parts = parts_of(url)
        token = self.tokens.get(parts.hostname or "")
        if token is not None and server_of(parts) == server_of(parts_of(first)):
            headers.append(("Authorization", f"Bearer {token.get_secret_value()}"))
        return headers

    def _checked(self, url: str) -> SplitResult:
        """The parts of an address of a kind that is read from.

        Raises:
            InvalidRequest: it is of another kind.
        """
        try:
            parts = parts_of(url)
        except InvalidRequest as error:
            raise error.at(None) from None
        address = literal_address(parts.hostname or "")
        is_here = self.allow_loopback and address is not None and address.is_loopback
        if parts.scheme != "https" and not is_here:
            raise InvalidRequest("Adapters are read over https alone.")
        if not parts.hostname or parts.username is not None or parts.password is not None:
            raise InvalidRequest("Name a host, and neither user nor password.")
        if port_of(parts) < FIRST_FREE_PORT and port_of(parts) != HTTPS_PORT:
            raise InvalidRequest("Adapters are read from the ports 443, and 1024 and above.")
        if address is not None:
            try:
                check_address(address, allow_loopback=self.allow_loopback)
            except AddressRefused as error:
                raise InvalidRequest(str(error)) from None
        return parts


class BoundedNetwork(httpcore2.SyncBackend):
    """Connects to any address, until the deadline alone."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = super().connect_tcp(host, port, self._deadline.left(timeout), local_address, socket_options)
        return BoundedStream(stream, self._deadline)


def server_of(parts: SplitResult) -> tuple[str, str, int]:
    """The server that an address leads to."""
    return parts.scheme, (parts.hostname or "").rstrip("."), port_of(parts)


def answer_of(response: httpcore2.Response) -> Answer:
    """What is read of an answer."""
    total = header(response, b"content-range").rpartition("/")[2] or header(response, b"content-length")
    size = int(total) if total.isascii() and total.isdigit() and len(total) < 20 else None
    validator = header(response, b"etag") or header(response, b"last-modified")
    return Answer(response.status, size, validator, response.iter_stream())


def header(response: httpcore2.Response, name: bytes) -> str:
    """A header of an answer; empty if it has none."""
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), "")
