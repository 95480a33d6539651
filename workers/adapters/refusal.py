"""The refusal of an adapter's file."""

from __future__ import annotations


class Refused(Exception):
    """The file cannot be merged into this base model. The text goes on after "Adapter <name>"."""
