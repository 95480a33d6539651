"""Cursors of lists that are sorted by the names ``<created>:<id>``."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from tasks.errors import InvalidRequest

PLACE = re.compile(r"\d+\.\d{6}:[\w-]+", re.ASCII)


def cursor_at(place: str) -> str:
    """Return what leads to the page behind this place in the list."""
    return urlsafe_b64encode(place.encode()).decode()


def place_in(cursor: str) -> str:
    """The place in the list where a page begins.

    Raises:
        InvalidRequest: no page has ever had this cursor.
    """
    try:
        place = urlsafe_b64decode(cursor).decode("ascii")
    except ValueError:
        place = ""
    if not PLACE.fullmatch(place):
        raise InvalidRequest("cursor must be the next_cursor of a page before, or left out.", field="cursor")
    return place
