"""Metadata of an object in storage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoredObject:
    """An object as it was stored: its key, its size in bytes, and the sha256 of its content in hex."""

    key: str
    bytes: int
    sha256: str
