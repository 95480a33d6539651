"""The receivers of webhooks: the URLs that are refused at once, and the server behind a URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from tasks.errors import AddressRefused, InvalidRequest
from tasks.outbound import safe_http
from tasks.outbound.host_addresses import literal_address

FIELD = "webhook_url"
DEFAULT_PORTS = {"http": 80, "https": 443}
FIRST_FREE_PORT = 1024
"""Ports below it are of other protocols, such as mail, whose servers must not be sent requests."""


@dataclass(frozen=True)
class WebhookTargets:
    """Checks the URLs to which webhooks are to be sent.

    Attributes:
        can_sign: there is a secret for a service without API keys.
    """

    can_sign: bool
    allow_http: bool
    allow_loopback: bool

    def check(self, url: str, owner: str | None) -> None:
        """Check a URL as far as that is possible before its host is resolved.

        Args:
            owner: id of the client's API key; None where no key is configured.

        Raises:
            InvalidRequest: nothing will be sent there; the message says why.
        """
        if owner is None and not self.can_sign:
            raise InvalidRequest("This service sends no webhooks: it has no secret to sign them with.", field=FIELD)
        parts = parts_of(url)
        if parts.scheme != "https" and not self.allow_http:
            raise InvalidRequest("Webhooks are sent over https alone.", field=FIELD)
        if not parts.hostname or parts.username is not None or parts.password is not None:
            raise InvalidRequest("Name a host, and neither user nor password.", field=FIELD)
        if port_of(parts) < FIRST_FREE_PORT and port_of(parts) not in DEFAULT_PORTS.values():
            raise InvalidRequest("Webhooks are sent to the ports 443, 80, and 1024 and above.", field=FIELD)
        address = literal_address(parts.hostname)
        if address is None:
            return  # a name: checked at the connection
        try:
            safe_http.check_address(address, allow_loopback=self.allow_loopback)
        except AddressRefused as error:
            raise InvalidRequest(str(error), field=FIELD) from None


def parts_of(url: str) -> SplitResult:
    """The parts of a URL.

    Raises:
        InvalidRequest: it is not one of http or https, or not written in ASCII.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in DEFAULT_PORTS and port_of(parts) > 0 and url.isascii() and url.isprintable()
    except ValueError as error:
        raise InvalidRequest(f"This is not a URL: {error}.", field=FIELD) from None
    if not valid or " " in url:
        raise InvalidRequest("This is not a URL of https in ASCII; write other letters percent-encoded.", field=FIELD)
    return parts


def port_of(parts: SplitResult) -> int:
    """The port that a URL leads to."""
    return DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port


def receiver_of(url: str) -> str:
    """The server behind a URL that was checked: host and port, the same for every spelling."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    address = literal_address(host)
    return f"{host if address is None else address}:{port_of(parts)}"
