"""A lock that is taken in the order in which it was asked for, by those who go first before all others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_AROUND_S = 0.1
"""How soon a waiting thread notices that it need not wait any longer."""


class FairLock:
    """Who asks first has it first. ``threading.Lock`` promises no order: of three threads that take turns at it, one
    was seen to wait while the others took it twelve times.
    """

    def __init__(self) -> None:
        self._queue: list[object] = []
        self._first: set[object] = set()
        self._changed = threading.Condition()

    @property
    def is_taken(self) -> bool:
        """Whether who asks now must wait."""
        return bool(self._queue)

    @contextmanager
    def turn(self, give_up: Callable[[], None], *, first: bool = False) -> Iterator[None]:
        """Hold the lock.

        Args:
            give_up: called while waiting, and once more before the turn begins; what it raises ends the wait.
            first: whether it goes before all that wait and do not.
        """
        ticket = object()
        with self._changed:
            self._queue.insert(self._place(first), ticket)
            if first:
                self._first.add(ticket)
        try:
            self._wait(ticket, give_up)
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._first.discard(ticket)
                self._changed.notify_all()

    def _place(self, first: bool) -> int:
        """Where in the queue a new ticket belongs. The turn at its head may have begun, and is left alone."""
        waiting = self._queue[1:] if first else []
        others = (place for place, ticket in enumerate(waiting, start=1) if ticket not in self._first)
        return next(others, len(self._queue))

    def _wait(self, ticket: object, give_up: Callable[[], None]) -> None:
        with self._changed:
            give_up()
            while self._queue[0] is not ticket:
                self._changed.wait(LOOK_AROUND_S)
                give_up()
