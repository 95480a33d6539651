"""The watchdog: ends attempts that stall, and this process where a thread does not end by itself.

No thread of Python can be ended from outside, and one that stalls in a kernel, in a driver or on a dead file
system holds its place for ever. So the job is settled by the watchdog, and the process ends, to be restarted.
"""

from __future__ import annotations

import faulthandler
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tasks.errors import AttemptStalled, StokeholdError
from tasks.jobs.job import log_fields
from tasks.logs import log_context
from workers.run.attempt import Attempt
from workers.run.running import RunningAttempts
from workers.run.settlement import Settlement
from workers.run.shutdown import Shutdown
from workers.run.worker_exit import ExitCode, WorkerExit

logger = logging.getLogger(__name__)

TOLD_TWICE_S = 10.0
"""Seconds after a second SIGTERM until the process ends in any case."""
INTERPRETERS = 2
"""Multiple of ``stall_s`` for which the interpreter may be held."""
STDERR = 2
"""File descriptor of stderr: in a worker, Celery replaces ``sys.stderr`` by an object that is not a file."""


class AwakeClock:
    """Seconds that this process was running: while it is stopped, or its machine sleeps, no attempt can make progress.

    Args:
        max_s: largest distance of two ticks that counts as awake.
    """

    def __init__(self, max_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_s = max_s
        self._clock = clock
        self._last = clock()
        self._seconds = 0.0

    def __call__(self) -> float:
        return self._seconds

    def tick(self) -> None:
        """Note that the process is running now."""
        now = self._clock()
        self._seconds += min(now - self._last, self._max_s)
        self._last = now


class Watchdog:
    """A thread that looks at all attempts of this worker.

    It needs Python's interpreter to do so. If a call into C holds that for too long, a thread of ``faulthandler``,
    which does not need it, ends the process.

    Args:
        worker_exit: ends this process.
        stall_s: seconds for the other attempts to end, once one stalls.
        period_s: seconds between two checks.

    Attributes:
        clock: measures the time of attempts.
    """

    def __init__(
        self,
        running: RunningAttempts,
        settlement: Settlement,
        shutdown: Shutdown,
        worker_exit: WorkerExit,
        *,
        stall_s: float,
        period_s: float,
    ) -> None:
        self._running = running
        self._settlement = settlement
        self._shutdown = shutdown
        self._worker_exit = worker_exit
        self._stall_s = stall_s
        self._period_s = period_s
        self.clock = AwakeClock(2 * period_s)
        self._stopped = threading.Event()
        self._end_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start checking."""
        self._await_interpreter()
        self._thread.start()

    def stop(self) -> None:
        """Stop checking."""
        self._stopped.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def look(self) -> None:
        """End the attempts that stall, and this process when it is time."""
        self.clock.tick()
        attempts = [attempt for attempt in self._running if not attempt.is_ended]
        for attempt in attempts:
            if (reason := attempt.overdue()) is not None:
                self._end_attempt(attempt, reason)
        if self._shutdown.immediate.is_set():
            self._end_within(TOLD_TWICE_S)
        elif self._shutdown.graceful.is_set() and not attempts:
            self._end_within(self._stall_s)
        has_stalled = self._worker_exit.code is ExitCode.STALLED and all(one.is_ended for one in attempts)
        if has_stalled or (self._end_at is not None and self.clock() >= self._end_at):
            self._end_process(attempts)

    def _end_attempt(self, attempt: Attempt, reason: str) -> None:
        self._worker_exit.exit_gracefully(ExitCode.STALLED)
        self._end_within(0 if attempt.activity.phase.has_device else self._stall_s)
        with log_context(log_fields(attempt.job)):
            logger.error("%s; this worker ends", reason)
            attempt.is_ended = True
            fault = AttemptStalled(f"The worker stalled: {reason}. Submit the job again.")
            self._settlement.retry_elsewhere(attempt, fault)

    def _end_within(self, seconds: float) -> None:
        end_at = self.clock() + seconds
        self._end_at = end_at if self._end_at is None else min(self._end_at, end_at)

    def _end_process(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            if not attempt.is_ended:
                attempt.is_ended = True
                with suppress(StokeholdError), log_context(log_fields(attempt.job)):
                    self._settlement.requeue_unstarted(attempt.job)
        self._worker_exit.exit_immediately(ExitCode.STALLED)

    def _await_interpreter(self) -> None:
        """End the process unless this is called again in time, which takes the interpreter."""
        faulthandler.dump_traceback_later(INTERPRETERS * self._stall_s, exit=True, file=STDERR)

    def _run(self) -> None:
        while not self._stopped.wait(self._period_s):
            try:
                self._await_interpreter()
                self.look()
            except Exception:  # the outermost loop of the watchdog's thread
                logger.exception("the watchdog met an error and continues")
