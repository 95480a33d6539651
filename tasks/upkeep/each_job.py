"""A step of each job of an index."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from tasks.errors import JobNotFound
from tasks.jobs.index import JobIndex
from tasks.jobs.job import Job
from tasks.jobs.store import JobStore
from tasks.loops.loop import BUDGET_S, within
from tasks.loops.quarantine import Quarantine

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EachJob:
    """Takes a step of each job of an index."""

    quarantine: Quarantine
    store: JobStore
    index: JobIndex

    def __call__(self, name: str, ids: Iterable[str], step: Callable[[Job], object]) -> None:
        """Take a step of these jobs, as many as a round has time for. An entry without a job is removed.

        Args:
            name: of the index.

        Raises:
            ServiceUnavailable, StorageNotReachable, OSError and so on: the job is not at fault.
        """
        for job_id in within(BUDGET_S, ids):
            self.quarantine.attempt(name, job_id, partial(self._step, name, job_id, step))

    def _step(self, name: str, job_id: str, step: Callable[[Job], object]) -> None:
        try:
            job = self.store.get(job_id)
        except JobNotFound:
            logger.warning("%s had an entry of job %s, which does not exist", name, job_id)
            self.index.remove_entry(name, job_id)
        else:
            step(job)
