"""The worker's sign of life: renews the leases of its jobs and notes the worker as alive."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tasks.errors import LeaseLost, ValkeyUnavailable
from tasks.jobs.job import log_fields
from tasks.jobs.store import JobStore
from tasks.lanes.worker_registry import WorkerNote, WorkerRegistry
from tasks.logs import log_context
from workers.run.running import RunningAttempts

logger = logging.getLogger(__name__)


class Heartbeat:
    """A thread that beats while the worker lives.

    Args:
        note: makes the note about the worker that is sent with each beat.
        period_s: seconds between two beats; a few must fit into a lease.
        remind: called with each beat, to renew records that must exist while the worker lives.
    """

    def __init__(
        self,
        store: JobStore,
        registry: WorkerRegistry,
        running: RunningAttempts,
        note: Callable[[], WorkerNote],
        *,
        period_s: float,
        remind: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._running = running
        self._note = note
        self._period_s = period_s
        self._remind = remind
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to note the worker as alive."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """Forget the worker, unless it leaves for a reason to be shown; its leases lapse."""
        self._stopped.set()
        self._thread.join()
        note = self._note()
        if note.unhealthy is None:
            self._registry.remove(note)
        else:
            self._registry.note(note)

    def beat(self) -> None:
        """Send one sign of life. A lost lease is released: its job notices that at its own next step."""
        self._registry.note(self._note())
        self._remind()
        for attempt in self._running:
            if not attempt.keeps_lease():
                continue
            try:
                self._store.renew(attempt.job.lease)
            except LeaseLost as error:
                with log_context(log_fields(attempt.job)):
                    logger.warning("%s", error)
                attempt.has_lost_lease = True

    def _run(self) -> None:
        while not self._stopped.wait(self._period_s):
            try:
                self.beat()
            except ValkeyUnavailable as error:
                logger.warning("the heartbeat failed: %s", error)
            except Exception:  # the outermost loop of a thread without which every lease lapses
                logger.exception("no heartbeat")
