"""Processes that may end while a test looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

import psutil

Seen = TypeVar("Seen")


def seen_of(processes: Iterable[psutil.Process], look: Callable[[psutil.Process], Seen]) -> list[Seen]:
    """Look at each process, and leave out those that are gone, or dead and not yet reaped, by then."""
    seen = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a zombie raises a kind of it
            seen.append(look(process))
    return seen


def bytes_read(process: psutil.Process | None = None) -> int:
    """Return how many bytes a process, this one or another, has read so far, from disks and their caches."""
    return int((process or psutil.Process()).io_counters().read_chars)
