"""Ids of jobs, batches and uploads, before they become parts of keys: they come from URLs, where anything may stand."""

from __future__ import annotations

import re

MAX_CHARACTERS = 64
PATTERN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_CHARACTERS - 1}}}")
"""Without the colon, which separates the parts of a key, and without what a pattern, a path or a line could hold."""


class NotAnIdentifier(ValueError):
    """Code that should have looked before is about to make a key of something else."""


def is_identifier(text: str) -> bool:
    """Return whether a text can be an id. What cannot is answered as one that is unknown."""
    return PATTERN.fullmatch(text) is not None


def identifier(text: str) -> str:
    """The text itself, for a key.

    Raises:
        NotAnIdentifier: it cannot be an id.
    """
    if not is_identifier(text):
        raise NotAnIdentifier(f"{text[:MAX_CHARACTERS]!r} is not an id")
    return text
