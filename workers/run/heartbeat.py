"""The worker's sign of life: renews the leases of its jobs and notes the worker as alive."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.errors import LeaseLost, ValkeyUnavailable
from tasks.jobs.job import Lease
from tasks.jobs.store import JobStore
from tasks.jobs.worker_registry import WorkerNote, WorkerRegistry

logger = logging.getLogger(__name__)


class Heartbeat:
    """A thread that beats while the worker lives.

    Args:
        note: says what the worker is at the moment; sent with each beat.
        period_s: seconds between two beats; a few must fit into a lease.
        remind: called with each beat, for what must not be forgotten while the worker lives.
    """

    def __init__(
        self,
        store: JobStore,
        registry: WorkerRegistry,
        note: Callable[[], WorkerNote],
        *,
        period_s: float,
        remind: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._note = note
        self._period_s = period_s
        self._remind = remind
        self._leases: dict[Lease, Callable[[], bool]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Note the worker as alive and go on doing so."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """Forget the worker, unless it leaves for a reason to be shown; its leases are left to lapse."""
        self._stopped.set()
        self._thread.join()
        note = self._note()
        if note.unhealthy is None:
            self._registry.remove(note)
        else:
            self._registry.note(note)

    @contextmanager
    def keeping(self, lease: Lease, makes_progress: Callable[[], bool]) -> Iterator[None]:
        """Renew this lease while the body runs and its attempt moves.

        Args:
            makes_progress: whether the attempt makes progress; to be alive is not enough.
        """
        with self._lock:
            self._leases[lease] = makes_progress
        try:
            yield
        finally:
            self.release(lease)

    def release(self, lease: Lease) -> None:
        """Renew this lease no more."""
        with self._lock:
            self._leases.pop(lease, None)

    def beat(self) -> None:
        """One sign of life. A lost lease is let go: its job notices at its own next step."""
        self._registry.note(self._note())
        self._remind()
        with self._lock:
            leases = tuple(lease for lease, makes_progress in self._leases.items() if makes_progress())
        for lease in leases:
            try:
                self._store.renew(lease)
            except LeaseLost as error:
                logger.warning("%s", error)
                self.release(lease)

    def _run(self) -> None:
        while not self._stopped.wait(self._period_s):
            try:
                self.beat()
            except ValkeyUnavailable as error:
                logger.warning("no heartbeat: %s", error)
            except Exception:  # the outermost loop of a thread without which every lease lapses
                logger.exception("no heartbeat")
