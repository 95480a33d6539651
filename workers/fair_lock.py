"""A lock that is taken in the order in which it was asked for, by those who go first before all others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LOOK_AROUND_S = 0.1
"""How soon a waiting thread notices that it need not wait any longer."""


@dataclass(frozen=True, eq=False)
class Turn:
    """One turn at the lock, from asked for to over."""

    give_up: Callable[[], None]
    first: bool


class FairLock:
    """Who asks first has it first. ``threading.Lock`` promises no order: of three threads that take turns at it, one
    was seen to wait while the others took it twelve times.
    """

    def __init__(self) -> None:
        self._queue: list[Turn] = []
        self._changed = threading.Condition()

    @property
    def is_taken(self) -> bool:
        """Whether who asks now must wait."""
        return bool(self._queue)

    @contextmanager
    def turn(self, give_up: Callable[[], None], *, first: bool = False) -> Iterator[Turn]:
        """Hold the lock.

        Args:
            give_up: called while waiting, and once more before the turn begins; what it raises ends the wait.
            first: whether it goes before all that wait and do not.
        """
        turn = Turn(give_up, first)
        with self._changed:
            self._queue.insert(self._place(turn), turn)
        try:
            self._wait(turn)
            yield turn
        finally:
            with self._changed:
                self._queue.remove(turn)
                self._changed.notify_all()

    def is_wanted(self, turn: Turn) -> bool:
        """Whether somebody waits who would go before this turn, had it not begun."""
        return not turn.first and any(other.first for other in tuple(self._queue))

    def step_aside(self, turn: Turn) -> None:
        """Let those go first that do, and go on behind them. What ``give_up`` raises meanwhile ends the wait."""
        with self._changed:
            self._queue.remove(turn)
            behind = (place for place, other in enumerate(self._queue) if not other.first)
            self._queue.insert(next(behind, len(self._queue)), turn)
            self._changed.notify_all()
        self._wait(turn)

    def _place(self, turn: Turn) -> int:
        """Where in the queue a new turn belongs. The one at its head may have begun, and is left alone."""
        waiting = self._queue[1:] if turn.first else []
        others = (place for place, other in enumerate(waiting, start=1) if not other.first)
        return next(others, len(self._queue))

    def _wait(self, turn: Turn) -> None:
        with self._changed:
            turn.give_up()
            while self._queue[0] is not turn:
                self._changed.wait(LOOK_AROUND_S)
                turn.give_up()
