"""Whose request this is."""

from __future__ import annotations


def current_owner() -> str | None:
    """Id of the API key of the present request; None where no key is configured."""
    return None
