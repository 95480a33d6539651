"""The unsettled attempts of a worker, which its heartbeat keeps alive and its watchdog ends."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from workers.run.attempt import Attempt


class RunningAttempts:
    """The attempts of a worker that are not settled yet. Thread-safe."""

    def __init__(self) -> None:
        self._attempts: list[Attempt] = []
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Attempt]:
        """Iterate over the present attempts."""
        with self._lock:
            return iter(tuple(self._attempts))

    @contextmanager
    def holding(self, attempts: Iterable[Attempt]) -> Iterator[None]:
        """Hold these attempts while the body runs, each until it is released."""
        held = tuple(attempts)
        with self._lock:
            self._attempts.extend(held)
        try:
            yield
        finally:
            self._remove(held)

    def release(self, attempt: Attempt) -> None:
        """Release this attempt."""
        self._remove((attempt,))

    def _remove(self, attempts: tuple[Attempt, ...]) -> None:
        with self._lock:
            self._attempts = [attempt for attempt in self._attempts if attempt not in attempts]
