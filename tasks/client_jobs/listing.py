"""A client's own jobs, newest first, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from tasks.client_jobs.record import JobRecord, JobRecords
from tasks.jobs.index import JobIndex, id_in, name_of
from tasks.jobs.job import Status
from tasks.jobs.store import JobStore
from tasks.list_cursor import cursor_at, place_in

LOOKED_AT = 500
"""Failed jobs that are looked at for one page of those with a code."""


class JobPage(BaseModel):
    """Some of the client's jobs, newest first."""

    model_config = ConfigDict(frozen=True)

    jobs: tuple[JobRecord, ...]
    next_cursor: str | None = Field(description="cursor of the next page; null on the last page")


@dataclass(frozen=True)
class JobList:
    """Lists jobs."""

    store: JobStore
    index: JobIndex
    records: JobRecords

    def of_owner(
        self, owner: str | None, *, status: Status | None = None, limit: int, cursor: str | None = None
    ) -> JobPage:
        """A page of an owner's jobs.

        Args:
            status: only jobs of this status; None means all.
            limit: how many at most.
            cursor: of the page before; None begins with the newest.

        Raises:
            InvalidRequest: no page has ever had this cursor.
        """
        names = self.index.newest(owner, status, None if cursor is None else place_in(cursor), limit + 1)
        jobs = self.store.existing(map(id_in, names[:limit]))
        return JobPage(
            # The status of a job may have changed since its name was read from the list of this status.
            jobs=tuple(self.records.of(job) for job in jobs if status in (None, job.status)),
            next_cursor=cursor_at(names[limit - 1]) if len(names) > limit else None,
        )

    def failed_of_owner(self, owner: str | None, code: str, *, limit: int, cursor: str | None = None) -> JobPage:
        """A page of an owner's jobs that failed with this code; it may be shorter than ``limit``, and yet not the last.

        Args:
            limit, cursor: as in ``of_owner``.

        Raises:
            InvalidRequest: no page has ever had this cursor.
        """
        behind = None if cursor is None else place_in(cursor)
        names = self.index.newest(owner, Status.FAILED, behind, LOOKED_AT + 1)
        jobs = self.store.existing(map(id_in, names[:LOOKED_AT]))
        found = [job for job in jobs if job.error is not None and job.error.code == code]
        last = [name_of(found[limit - 1])] if len(found) > limit else names[LOOKED_AT - 1 : -1]
        return JobPage(
            jobs=tuple(self.records.of(job) for job in found[:limit]),
            next_cursor=cursor_at(last[0]) if last else None,
        )
