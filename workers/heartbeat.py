"""The worker's sign of life: renews the leases of its jobs and notes the worker as alive."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.errors import BrokerUnavailable, LeaseLost
from tasks.job import Lease
from tasks.job_store import JobStore
from tasks.worker_registry import WorkerNote, WorkerRegistry

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
        self._leases: set[Lease] = set()
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Note the worker as alive and go on doing so."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """Forget the worker; its leases are left to lapse."""
        self._stopped.set()
        self._thread.join()
        self._registry.remove(self._note())

    @contextmanager
    def keeping(self, lease: Lease) -> Iterator[None]:
        """Renew this lease while the body runs."""
        with self._guard:
            self._leases.add(lease)
        try:
            yield
        finally:
            with self._guard:
                self._leases.discard(lease)

    def beat(self) -> None:
        """One sign of life. A lost lease is let go: its job notices at its own next step."""
        self._registry.note(self._note())
        self._remind()
        with self._guard:
            leases = tuple(self._leases)
        for lease in leases:
            try:
                self._store.renew(lease)
            except LeaseLost as error:
                logger.warning("%s", error)
                with self._guard:
                    self._leases.discard(lease)

    def _run(self) -> None:
        while not self._stopped.wait(self._period_s):
            try:
                self.beat()
            except BrokerUnavailable as error:
                logger.warning("no heartbeat: %s", error)
            except Exception:  # the outermost loop of a thread without which every lease lapses
                logger.exception("no heartbeat")
