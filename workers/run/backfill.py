"""Draws the jobs of the backfill lane, while the worker lives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from tasks.errors import ValkeyUnavailable
from tasks.jobs.job import Job

logger = logging.getLogger(__name__)

THREADS = 2
"""While one draws, the other publishes its images and prepares its next jobs."""
AGAIN_S = 1.0
"""Seconds until a worker looks again at a lane that was empty."""


class Backfill:
    """Threads that take jobs as fast as they can be drawn. They are not Celery's threads, so that those are free for
    interactive jobs.

    Args:
        claim: takes the next jobs for one pass of the pipeline, if there are any.
        run: works on them.
        stopping: the worker shuts down: no further jobs are taken.
    """

    def __init__(
        self,
        claim: Callable[[], Sequence[Job]],
        run: Callable[[Sequence[Job]], None],
        stopping: threading.Event,
    ) -> None:
        self._claim = claim
        self._run_jobs = run
        self._stopping = stopping
        self._threads = [threading.Thread(target=self._run, name=f"backfill-{number}") for number in range(THREADS)]

    def start(self) -> None:
        """Begin to take jobs."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more jobs, and wait for those that were taken, if there are any."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._work():
                self._stopping.wait(AGAIN_S)

    def _work(self) -> bool:
        """Take jobs and work on them; return whether there were any. Unsettled jobs return when their leases lapse."""
        try:
            if jobs := self._claim():
                self._run_jobs(jobs)
            return bool(jobs)
        except ValkeyUnavailable as error:
            logger.warning("backfill jobs must wait: %s", error)
        except Exception:  # the outermost loop of a thread whose end would go unnoticed
            logger.exception("backfill jobs must wait")
        return False
