"""Ids of jobs, batches and uploads, before they become parts of keys: they come from URLs, with any content."""

from __future__ import annotations

import re

MAX_CHARACTERS = 64
PATTERN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_CHARACTERS - 1}}}")
"""Without the colon, which separates the parts of a key, and without characters of patterns, paths and lines."""


class NotAnIdentifier(ValueError):
    """A text that is not an id was about to become a part of a key: its caller should have checked it."""


def is_identifier(text: str) -> bool:
    """Return whether a text can be an id. One that cannot is treated as an unknown id."""
    return PATTERN.fullmatch(text) is not None


def identifier(text: str) -> str:
    """Return the text itself, for a key.

    Raises:
        NotAnIdentifier: it cannot be an id.
    """
    if not is_identifier(text):
        raise NotAnIdentifier(f"{text[:MAX_CHARACTERS]!r} is not an id")
    return text
