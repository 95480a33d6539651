"""Headers of every response that allow a browser as little as possible."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from flask import Flask, Response, request

POLICY = "Content-Security-Policy"
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The policy of a response that is not a page: nothing is loaded or run for it, and no page shows it in a frame."""

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # frame-ancestors, for browsers that do not know it
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def register(app: Flask) -> None:
    """Add the headers to every response of ``app``."""
    app.after_request(add_headers)


def add_headers(response: Response) -> Response:
    """Add the headers; a page that needs more than ``NOTHING`` has set its own policy."""
    response.headers.update(HEADERS)
    response.headers.setdefault(POLICY, NOTHING)
    if response.location is not None and urlsplit(response.location).netloc.lower() == request.host.lower():
        lead_to_path(response, urlsplit(response.location))
    return response


def lead_to_path(response: Response, target: SplitResult) -> None:
    """Make a redirect of Werkzeug relative: it repeats the ``Host`` of the request, which may name any host."""
    response.location = target._replace(scheme="", netloc="", path="/" + target.path.lstrip("/")).geturl()
    response.set_data(b"")


def page_policy(**sources: str) -> str:
    """Return the policy of a page: ``NOTHING``, and the sources of each kind of content.

    Args:
        sources: for example ``script="'self'"``.
    """
    return "; ".join((NOTHING, *(f"{kind}-src {source}" for kind, source in sources.items())))
