"""A step of each job of an index."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial

from tasks.errors import JobNotFound
from tasks.jobs.job import Job
from tasks.jobs.store import JobStore
from tasks.loops.loop import BUDGET_S, within
from tasks.loops.quarantine import Quarantine

logger = logging.getLogger(__name__)


def each_job(
    quarantine: Quarantine, store: JobStore, index: str, ids: Iterable[str], step: Callable[[Job], object]
) -> None:
    """Take a step of each job of an index, as many as a round has time for. An entry without a job is removed.

    Raises:
        ServiceUnavailable, StorageNotReachable, OSError and so on: it is no job that is at fault.
    """

    def step_of(job_id: str) -> None:
        try:
            job = store.get(job_id)
        except JobNotFound:
            logger.warning("%s had an entry of job %s, which does not exist", index, job_id)
            store.remove_entry(index, job_id)
        else:
            step(job)

    for job_id in within(BUDGET_S, ids):
        quarantine.attempt(index, job_id, partial(step_of, job_id))
