"""Work that is done again and again beside the requests: each loop has a thread of its own and is watched.

A round that raises is logged, and the next one comes. A round that does not end, or a thread that has died, ends
the process, so that ``scripts/up`` or Docker restarts it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from storage import StorageNotReachable
from tasks.errors import ServiceUnavailable

logger = logging.getLogger(__name__)

TICK_S = 1.0
HANGS_AFTER = 4
"""A round hangs when it takes this many times as long as it should when all is well."""
HUNG = 70
"""Exit code of a process that ended itself (``EX_SOFTWARE`` of sysexits.h)."""
END_WITHIN_S = 5.0
"""Seconds to wait for steps at the end: every step may be cut off anywhere."""

BUDGET_S = 10.0
"""Seconds after which a stage leaves the rest of its work to the next round."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Loop:
    """Work that is repeated.

    Attributes:
        period_s: seconds from the beginning of a round to that of the next.
        max_s: the most seconds that a round takes when all is well.
        round: does the work once.
        finished: called with the name after each round that has not raised.
    """

    name: str
    period_s: float
    max_s: float
    round: Callable[[], None]
    finished: Callable[[str], None]


class Running:
    """A loop on its thread.

    Attributes:
        begun: rounds so far.
        busy: whether a round is under way.
    """

    def __init__(self, loop: Loop, stop: threading.Event) -> None:
        self.loop = loop
        self.begun = 0
        self.busy = False
        self.thread = threading.Thread(target=self._run, name=loop.name, daemon=True)
        self._stop = stop

    def _run(self) -> None:
        while not self._stop.is_set():
            begin = time.monotonic()
            self.begun, self.busy = self.begun + 1, True
            guarded_round(self.loop)
            self.busy = False
            self._stop.wait(max(0.0, self.loop.period_s - (time.monotonic() - begin)))


def guarded_round(loop: Loop) -> None:
    """One round; what it raises is logged and does not end the loop."""
    try:
        loop.round()
        loop.finished(loop.name)
    except (ServiceUnavailable, StorageNotReachable) as error:
        logger.warning("loop %s waits for a server: %s", loop.name, error)
    except Exception:
        logger.exception("loop %s: a round failed; the next one begins in %g s", loop.name, loop.period_s)


class Watch:
    """Counts the ticks that a round takes, so that a process that was frozen does not take its rounds for hung."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._round, self._ticks = 0, 0.0

    def tick(self, seconds: float) -> str | None:
        """Note that some seconds have passed, and return the fault of the loop, if it has one."""
        running = self._running
        if not running.thread.is_alive():
            return "its thread has ended"
        self._ticks = self._ticks + seconds if running.busy and running.begun == self._round else 0.0
        self._round = running.begun
        limit = HANGS_AFTER * running.loop.max_s
        return f"a round takes longer than {limit:g} s" if self._ticks > limit else None


def run_until(stop: threading.Event, loops: Iterable[Loop], tick_s: float = TICK_S) -> None:
    """Run loops until ``stop`` is set. A loop that hangs ends the process."""
    every = [Running(loop, stop) for loop in loops]
    for running in every:
        running.thread.start()
    watches = [(running.loop.name, Watch(running)) for running in every]
    while not stop.wait(tick_s):
        for name, watch in watches:
            if (fault := watch.tick(tick_s)) and not stop.is_set():
                end_process(f"loop {name}: {fault}")
    join([running.thread for running in every], END_WITHIN_S)


def join(threads: Sequence[threading.Thread], seconds: float) -> None:
    """Wait for threads to end, altogether no longer than this."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def end_process(reason: str) -> None:
    """End this process without waiting for any thread of it, so that it is restarted."""
    logger.critical("This process ends itself, to be started anew: %s.", reason)
    logging.shutdown()
    os._exit(HUNG)


def within(seconds: float, items: Iterable[Item]) -> Iterator[Item]:
    """Yield items until the time has passed, and at least the first one."""
    deadline = time.monotonic() + seconds
    for item in items:
        yield item
        if time.monotonic() > deadline:
            return
