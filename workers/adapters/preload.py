"""Have adapters in memory before a job asks for them: pinned ones, and at the start those that were used last."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from storage import StorageError
from tasks.adapters.catalogue.store import Catalogue
from tasks.adapters.file.identity import ResolvedAdapter
from tasks.errors import JobFailed, MachineFault, ValkeyUnavailable, WorkerStopping
from workers.adapters.cache import AdapterCache

logger = logging.getLogger(__name__)

PERIOD_S = 10.0
"""Seconds until a worker notices that an adapter was pinned."""

Step = Callable[[], None]


class AdapterPreloader:
    """A thread that loads adapters ahead while the worker lives. It never holds the device.

    Args:
        slug: of the worker's base model.
        max_bytes: memory for adapters that no job has needed yet.
    """

    def __init__(self, catalogue: Catalogue, adapters: AdapterCache, slug: str, *, max_bytes: int) -> None:
        self._catalogue = catalogue
        self._adapters = adapters
        self._slug = slug
        self._max_bytes = max_bytes
        self._kept: list[ResolvedAdapter] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="preload", daemon=True)

    def start(self) -> None:
        """Load what is pinned and what was used last, and go on with what will be pinned."""
        self._thread.start()

    def stop(self) -> None:
        """Load nothing more."""
        self._stopped.set()
        self._thread.join()

    def keep_pinned(self) -> None:
        """Keep what is pinned now."""
        pinned = [entry.found.resolved(entry.slug) for entry in self._catalogue.pinned(self._slug)]
        if pinned != self._kept:
            self._adapters.keep([adapter for adapter in pinned if self._loads(adapter)])
            self._kept = pinned

    def load_used(self) -> None:
        """Load what jobs wanted last, as long as there is room that no job needs."""
        for adapter in self._catalogue.used(self._slug):
            if self._adapters.bytes + (adapter.size_bytes or 0) > self._max_bytes or self._stopped.is_set():
                return
            self._loads(adapter)

    def note_progress(self) -> None:
        """Nothing to note: no job waits."""

    def check_wanted(self) -> None:
        """Called while it loads.

        Raises:
            WorkerStopping: it loads nothing more.
        """
        if self._stopped.is_set():
            raise WorkerStopping("The worker is shutting down while it loads an adapter ahead.")

    def _loads(self, adapter: ResolvedAdapter) -> bool:
        try:
            self._adapters.get(adapter, self)
        except (JobFailed, MachineFault, StorageError, WorkerStopping) as error:
            logger.warning("adapter %s is not loaded ahead: %s", adapter.ref, error)
            return False
        return True

    def _run(self) -> None:
        for step in self._steps():
            try:
                step()
            except ValkeyUnavailable as error:
                logger.warning("no adapter is loaded ahead: %s", error)

    def _steps(self) -> Iterator[Step]:
        yield self.keep_pinned
        yield self.load_used
        while not self._stopped.wait(PERIOD_S):
            yield self.keep_pinned
