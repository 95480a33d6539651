"""A bound on concurrent file transfers: each occupies a thread until its client has finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from tasks.errors import LimitExceeded, TooManyTransfers

RETRY_AFTER_S = 10


class Transfers:
    """The transfers of one direction in this process. Thread-safe.

    Args:
        most: number of transfers at once.
        max_of_one: number of those of one API key.
    """

    def __init__(self, most: int, max_of_one: int) -> None:
        self._most, self._max_of_one = most, max_of_one
        self._running: Counter[str | None] = Counter()
        self._lock = Lock()

    @contextmanager
    def one(self, owner: str | None) -> Iterator[None]:
        """Count a transfer of an owner while it lasts. A service without keys has one owner, which may have all.

        Raises:
            LimitExceeded: the owner has as many as it may.
            TooManyTransfers: this process carries as many as it can.
        """
        with self._lock:
            if owner is not None and self._running[owner] >= self._max_of_one:
                raise LimitExceeded(
                    f"{self._max_of_one} files of this API key are being transferred, which is its limit. "
                    "Wait until one has finished.",
                    retry_after_s=RETRY_AFTER_S,
                )
            if self._running.total() >= self._most:
                raise TooManyTransfers(f"{self._most} files are being sent through this process.")
            self._running[owner] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[owner] -= 1
                if not self._running[owner]:
                    del self._running[owner]
