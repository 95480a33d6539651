"""The one thread that uses the device: jobs take turns, those with priority before all others.

One thread, because OpenMP keeps a team for each thread that calls torch. When all teams together have more members than
the CPU has cores, these sleep after each piece of work instead of waiting for the next one, and torch draws half as
fast (``gomp_throttled_spin_count_var`` in libgomp's env.c).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController

LOOK_AROUND_S = 0.1
"""Seconds until a waiting job notices that it need not wait any longer."""

OPENMP = ThreadpoolController().select(user_api="openmp")

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, eq=False)
class Turn:
    """A call that waits for the thread and runs there with the context variables of its caller."""

    call: Callable[[], object]
    first: bool
    context: Context = field(default_factory=copy_context)
    future: Future[Any] = field(default_factory=Future)

    @property
    def has_begun(self) -> bool:
        """Return whether the call has begun."""
        return self.future.running() or self.future.done()

    def take(self) -> None:
        """Make the call, unless its caller has given up."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            outcome = self.context.run(self.call)
        except BaseException as error:  # noqa: BLE001 (raised where it is waited for)
            self.future.set_exception(error)
            del self  # the error's traceback leads here: in a circle, what the call held would outlive the error
        else:
            self.future.set_result(outcome)


class DeviceThread:
    """First come, first served, except that callers with priority go before all others."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="device")
        self._lock = threading.Lock()
        self._waiting: list[Turn] = []
        self._is_busy = False

    @property
    def is_taken(self) -> bool:
        """Return whether a new caller must wait."""
        return self._is_busy or bool(self._waiting)

    @property
    def is_wanted(self) -> bool:
        """Return whether a caller with priority waits."""
        return any(turn.first for turn in tuple(self._waiting))

    def run(
        self, function: Callable[[], Outcome], check_needed: Callable[[], None] = lambda: None, *, first: bool = False
    ) -> Outcome:
        """Call this function on the thread, and wait for it.

        Args:
            check_needed: called while waiting, and on the thread before the function; what it raises is raised instead.
            first: the call has priority.
        """

        def call() -> Outcome:
            check_needed()
            return function()

        turn = Turn(call, first)
        with self._lock:
            self._waiting.append(turn)
        self._executor.submit(self._take_next)
        while not turn.has_begun:
            wait([turn.future], LOOK_AROUND_S)
            self._check_waiting(turn, check_needed)
        try:
            outcome: Outcome = turn.future.result()
            return outcome
        finally:
            del turn  # as in ``Turn.take``

    def let_first_go(self) -> None:
        """Make the calls with priority, on the thread, in the middle of a call without it."""
        while (turn := self._next(only_first=True)) is not None:
            turn.take()

    def _check_waiting(self, turn: Turn, check_needed: Callable[[], None]) -> None:
        if turn.has_begun:
            return
        try:
            check_needed()
        except BaseException:
            if turn.future.cancel():  # else it has begun just now, and gives up there
                with self._lock:
                    self._waiting.remove(turn)
                raise

    def _take_next(self) -> None:
        turn = self._next()
        if turn is not None:  # it may have been taken amid another, or have given up
            self._is_busy = True
            turn.take()
            self._is_busy = False
        del turn  # as in ``Turn.take``

    def _next(self, *, only_first: bool = False) -> Turn | None:
        with self._lock:
            chosen = next((turn for turn in self._waiting if turn.first), None)
            if chosen is None and not only_first:
                chosen = next(iter(self._waiting), None)
            if chosen is not None:
                self._waiting.remove(chosen)
            return chosen


@contextmanager
def on_one_core() -> Iterator[None]:
    """Let torch use one core, without a team, on any other thread."""
    torch.get_num_threads()  # its first use sets the thread's number, which would undo ours
    with OPENMP.limit(limits=1):
        yield
