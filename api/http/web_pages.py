"""Protection of a service without API keys against web pages of other sites.

A page in a browser on this machine reaches servers that listen on loopback. Its requests are recognised by two things,
which are checked first: the host that the request is for, if a name of the page was made to lead here (DNS rebinding);
and the origin of the page, which browsers send in ``Sec-Fetch-Site`` and ``Origin``.

With API keys neither matters: a browser sends no key by itself. There are no cookies, and no other scheme than Bearer.
The rule for other sites is that of Go's ``http.CrossOriginProtection``.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from flask import Flask, Request, request
from werkzeug.sansio.utils import host_is_trusted

from api.http.context import current_service
from tasks.errors import CrossSiteRequest, HostNotTrusted, RequestError

LOOPBACK_NAMES = ("localhost", ".localhost")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OURS = frozenset({"same-origin", "none"})
"""Values of ``Sec-Fetch-Site``: a page of this service, and a person who typed the address."""
PROBES = frozenset({"/healthz", "/readyz"})
"""Health checks name this machine by any of its addresses."""


def register(app: Flask) -> None:
    """Check every request before any other handler."""
    app.before_request(refuse_other_sites)


def refuse_other_sites() -> None:
    """Refuse requests of pages of other sites, unless an API key is needed anyway.

    Raises:
        HostNotTrusted: the request is for another host (421).
        CrossSiteRequest: it would change something, and comes from another site (403).
    """
    service = current_service()
    refusal: RequestError | None = None
    if not is_for_this_host(request, service.settings.trusted_hosts):
        refusal = HostNotTrusted("This service has no API key, so it answers only to trusted host names.")
    elif not is_from_this_origin(request):
        refusal = CrossSiteRequest("This service has no API key, so it takes no requests from pages of other sites.")
    if refusal is not None and not service.keys.are_needed():
        raise refusal


def is_for_this_host(request: Request, trusted: Collection[str]) -> bool:
    """Return whether a request is for a loopback name or address of this machine, or a trusted host; on any port."""
    host = request.host.lower()
    address = address_in(host)
    if address is None:
        return host_is_trusted(host, (*LOOPBACK_NAMES, *trusted))
    # Only names can be made to lead elsewhere, so a health check may use any address.
    return address.is_loopback or request.path in PROBES or str(address) in trusted


def address_in(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a ``Host`` header names; None if it names something else."""
    try:
        return ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return None


def is_from_this_origin(request: Request) -> bool:
    """Return whether a request changes nothing, or does not come from a page of another site."""
    if request.method in SAFE_METHODS:
        return True
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site in OURS
    return origin is None or urlsplit(origin).netloc == request.host
