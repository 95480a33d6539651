"""The choice of the interactive job that a worker draws next: owners take turns, as many as their weights say.

A message on the queue of a base model says that a job waits, and not which one: its receiver asks here. So what
an owner has queued delays the next job of another by about one drawing.

    stokehold:interactive:<slug>               sorted  by owner: where the next turn of one that has queued jobs starts
    stokehold:interactive:<slug>:ends          hash    by owner: where the last turn of one that has none ended
    stokehold:interactive:<slug>:weights       hash    by owner: its weight
    stokehold:interactive:<slug>:of:<owner>    sorted  an owner's line: ids of its queued jobs, as they are due

``tasks/jobs/turns.lua`` keeps them, as a part of the steps of a job.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import cast

from tasks.errors import LeftToAnother
from tasks.jobs.job import KNOWN_FIELDS, Job
from tasks.jobs.keyspace import JOB, lane_keys
from tasks.jobs.store import JobStore
from tasks.lanes.worker_registry import WorkerRegistry, spares
from tasks.valkey import Valkey

MAX_TRIES = 100
"""More than the workers of a base model: a try is lost to another worker, or to a job that was canceled meanwhile."""
KNOWN = f" {' '.join(sorted(KNOWN_FIELDS))} "


class InteractiveLane:
    """The interactive lanes of all base models."""

    def __init__(self, valkey: Valkey, store: JobStore, workers: WorkerRegistry) -> None:
        self._store = store
        self._workers = workers
        self._next = valkey.script("jobs/turns", "lanes/next")

    def claim(self, slug: str, worker: str) -> Job | None:
        """Take the queued interactive job that is due, under a new lease; None if there is none.

        Raises:
            LeftToAnother: there are some, and all of them are for another worker.
        """
        spared: set[str] = set()
        for _ in range(MAX_TRIES):
            job_id, passed = self._due(slug, spared)
            if not job_id:
                if passed:
                    raise LeftToAnother(f"What waits for base model {slug} is left to another worker than {worker}.")
                return None
            try:
                job = self._store.claim(job_id, worker, partial(spares, self._workers, worker))
            except LeftToAnother:
                spared.add(job_id)
                continue
            if job is not None:
                return job
        return None

    def _due(self, slug: str, spared: Collection[str]) -> tuple[str, bool]:
        """Return the id of the job that is due, if any, and whether jobs for other workers were passed over."""
        job_id, passed = self._next(keys=lane_keys(slug, None)[:3], args=[JOB, KNOWN, *spared])
        return cast(str, job_id), bool(passed)
