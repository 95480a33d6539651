"""The choice of the backfill jobs that a worker draws next: fair between owners, and with as few swaps as that allows.

These jobs are not sent to workers. A worker that has time asks here for those that suit it best, so the jobs of one
adapter are drawn one after another by one worker, and another worker takes another adapter.

    stokehold:backfill:<slug>                     sorted  groups of queued backfill jobs, by the time of their first job
    stokehold:backfill:<slug>:<owner>:<adapters>  sorted  a group: ids of queued jobs with the same adapters
    stokehold:turns:<slug>                        hash    by owner: how much the lane has done for it, in jobs
    stokehold:holders:<slug>                      hash    by worker: the group that it is drawing
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import cast

from tasks.errors import LeftToAnother, ValkeyUnavailable
from tasks.jobs.job import Job
from tasks.jobs.keyspace import JOB, groups_key
from tasks.jobs.store import JobStore
from tasks.lanes.worker_registry import NOTE, WorkerRegistry, spares
from tasks.valkey import Valkey

QUANTUM = 16
"""Jobs that a worker draws for one owner, while another waits, before the swap to the other's adapters is due."""

MAX_TRIES = 100
"""More than the workers of a base model: a try is lost to another worker, or to a job that was canceled meanwhile."""


class BackfillLane:
    """The backfill lanes of all base models."""

    def __init__(self, valkey: Valkey, store: JobStore, workers: WorkerRegistry) -> None:
        self._store = store
        self._workers = workers
        self._choose = valkey.script("lanes/choose")

    def claim(self, slug: str, worker: str, count: int = 1) -> tuple[Job, ...]:
        """Take the queued backfill jobs that suit this worker best, each under a new lease; none if there is none.

        Args:
            count: the most jobs to claim; they have the same adapters and settings, so that one pass can draw them.
        """
        spared: set[str] = set()
        for _ in range(MAX_TRIES):
            ids = self._next(slug, worker, count, spared)
            if not ids:
                break
            if jobs := self._claim_each(ids, worker, spared):
                return jobs
        return ()

    def _claim_each(self, ids: Sequence[str], worker: str, spared: set[str]) -> tuple[Job, ...]:
        """Claim those of these jobs that can be claimed, until Valkey becomes unavailable.

        Args:
            spared: takes the ids of those that are left to another worker.
        """
        jobs: list[Job] = []
        for job_id in ids:
            try:
                job = self._store.claim(job_id, worker, partial(spares, self._workers, worker))
            except LeftToAnother:
                spared.add(job_id)
                continue
            except ValkeyUnavailable:
                if not jobs:
                    raise
                break
            if job is not None:
                jobs.append(job)
        return tuple(jobs)

    def _next(self, slug: str, worker: str, count: int, spared: Collection[str]) -> list[str]:
        groups = groups_key(slug)
        keys = [groups, f"stokehold:turns:{slug}", f"stokehold:holders:{slug}"]
        return cast(list[str], self._choose(keys=keys, args=[worker, QUANTUM, NOTE, f"{groups}:", JOB, count, *spared]))
