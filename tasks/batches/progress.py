"""The progress of the lines of a batch: those that are jobs, those that have ended, and their results in storage.

    stokehold:batch:<id>:parts   list   keys of the parts of its results in storage, in the order of writing

``tasks/jobs/line_place.py`` has the other keys, which the steps of jobs change too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from tasks.batches.batch import Batch
from tasks.jobs.hash import flat
from tasks.jobs.job import Status
from tasks.jobs.keyspace import JOB, job_key
from tasks.jobs.line_place import batch_key, cursors_key, ended_key, jobs_key
from tasks.objects.notes import NOTED
from tasks.valkey import Valkey


class BatchProgress:
    """The progress of batches. Every step is atomic and may be repeated."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._settle = valkey.script("batches/settle")
        self._pass = valkey.script("batches/pass")
        self._lose = valkey.script("batches/lose")

    def settle(self, batch: Batch, part: str, ids: Sequence[str], counts: Mapping[str, float]) -> bool:
        """Count jobs whose results are in a noted part in storage, and take the part.

        Returns:
            False if another process has counted them already.
        """
        keys = [batch_key(batch.id), ended_key(batch.id), jobs_key(batch.id), parts_key(batch.id), NOTED]
        numbers = {name: str(number) for name, number in counts.items()}
        return bool(self._settle(keys=keys, args=[part, len(ids), len(numbers), *flat(numbers), *ids]))

    def ended(self, batch: Batch, count: int) -> list[str]:
        """Return the ids of the first ``count`` jobs that have ended and are not settled."""
        return cast(list[str], self._valkey.lrange(ended_key(batch.id), 0, count - 1))

    def jobs(self, batch: Batch) -> set[str]:
        """Return the ids of its jobs that are not settled."""
        return cast(set[str], self._valkey.smembers(jobs_key(batch.id)))

    def statuses(self, batch: Batch) -> list[Status]:
        """Return the statuses of its jobs that are not settled."""
        with self._valkey.pipeline(transaction=False) as pipeline:
            for job_id in self.jobs(batch):
                pipeline.hget(job_key(job_id), "status")
            return [Status(status) for status in pipeline.execute() if status in tuple(Status)]

    def parts(self, batch: Batch) -> list[str]:
        """Return the keys of the parts of its results, in the order of writing."""
        return cast(list[str], self._valkey.lrange(parts_key(batch.id), 0, -1))

    def lose(self, batch: Batch) -> None:
        """Stop waiting for jobs that no longer have a record."""
        if ids := sorted(self.jobs(batch)):
            self._lose(keys=[ended_key(batch.id), jobs_key(batch.id)], args=[JOB, *ids])

    def cursors(self, batch: Batch) -> dict[str, str]:
        """Return how far each group of its plan has become jobs."""
        return cast(dict[str, str], self._valkey.hgetall(cursors_key(batch.id, batch.plan)))

    def pass_groups(self, batch: Batch, first: int, done: Sequence[int]) -> None:
        """Note that all groups before ``first`` are done, and forget the cursors of each."""
        self._pass(keys=[batch_key(batch.id), cursors_key(batch.id, batch.plan)], args=[batch.plan or "", first, *done])


def parts_key(batch_id: str) -> str:
    """The parts of the results of a batch."""
    return f"{batch_key(batch_id)}:parts"
