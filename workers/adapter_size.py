"""How large an adapter's file may be."""

from __future__ import annotations

from tasks.errors import AdapterFetchFailed


def require_small(size: int, max_bytes: int, ref: str) -> None:
    """Refuse a file before it is downloaded or read.

    Raises:
        AdapterFetchFailed: it is larger than this service takes.
    """
    if size > max_bytes:
        raise AdapterFetchFailed(
            f"The file of adapter {ref!r} has {size} bytes, and this service takes at most {max_bytes}. Use an adapter "
            "of a smaller rank, or ask the operator to raise that bound."
        )
