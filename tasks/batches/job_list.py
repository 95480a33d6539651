"""The jobs of a batch, newest first, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.batches.batch import Batch
from tasks.batches.progress import BatchProgress
from tasks.client_jobs.listing import JobPage
from tasks.client_jobs.record import JobRecords
from tasks.jobs.index import name_of
from tasks.jobs.job import Status
from tasks.jobs.store import JobStore
from tasks.list_cursor import cursor_at, place_in


@dataclass(frozen=True)
class BatchJobList:
    """Lists the jobs of batches."""

    progress: BatchProgress
    store: JobStore
    records: JobRecords

    def of_batch(self, batch: Batch, *, status: Status | None = None, limit: int, cursor: str | None = None) -> JobPage:
        """A page of the jobs of a batch that are queued, drawn or not yet among its results.

        Args:
            status: only jobs of this status; None means all.
            limit: how many at most.
            cursor: of the page before; None begins with the newest.

        Raises:
            InvalidRequest: no page has ever had this cursor.
        """
        behind = None if cursor is None else place_in(cursor)
        jobs = {name_of(job): job for job in self.store.existing(self.progress.jobs(batch))}
        names = [
            name
            for name, job in sorted(jobs.items(), reverse=True)
            if status in (None, job.status) and (behind is None or name < behind)
        ]
        return JobPage(
            jobs=tuple(self.records.of(jobs[name]) for name in names[:limit]),
            next_cursor=cursor_at(names[limit - 1]) if len(names) > limit else None,
        )
