"""Questions to a server: is it there, and does it do its work?"""

from __future__ import annotations

import urllib.request
from http import HTTPStatus
from http.client import HTTPException

TIMEOUT_S = 2


def answers_200(url: str) -> bool:
    """Return whether a server answers ``GET url`` with 200."""
    return body_of(url) is not None


def body_of(url: str) -> bytes | None:
    """Return the body of a 200 to ``GET url``; None for another status, or without a response within seconds."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            body: bytes = response.read()
            return body if response.status == HTTPStatus.OK else None
    except (OSError, HTTPException):  # urllib's own errors are OSErrors
        return None
