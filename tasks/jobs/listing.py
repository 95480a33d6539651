"""A submitter's own jobs, newest first, a page at a time."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel, ConfigDict, Field

from tasks.batches.batch import Batch
from tasks.jobs.job import Job, Status
from tasks.jobs.keyspace import list_key
from tasks.jobs.record import JobRecord
from tasks.list_cursor import cursor_at, place_in
from tasks.service import Service

LOOKED_AT = 500
"""Failed jobs that are looked at for one page of those with a code."""


class JobPage(BaseModel):
    """Some of one's own jobs, newest first."""

    model_config = ConfigDict(frozen=True)

    jobs: tuple[JobRecord, ...]
    next_cursor: str | None = Field(description="where the next page begins; null on the last one")


def list_jobs(
    service: Service, owner: str | None, *, status: Status | None = None, limit: int, cursor: str | None = None
) -> JobPage:
    """A page of an owner's jobs.

    Args:
        status: only those that stand there; None means all.
        limit: how many at most.
        cursor: of the page before; None begins with the newest.

    Raises:
        InvalidRequest: no page has ever had this cursor.
    """
    first = "+" if cursor is None else f"({place_in(cursor)}"
    places = cast(
        list[str],
        service.valkey.zrange(list_key(owner, status), first, "-", desc=True, bylex=True, offset=0, num=limit + 1),
    )
    jobs = service.store.existing([place.partition(":")[2] for place in places[:limit]])
    return JobPage(
        # A job may have moved on since its name was read from the list of those that stand there.
        jobs=tuple(service.records.of(job) for job in jobs if status in (None, job.status)),
        next_cursor=cursor_at(places[limit - 1]) if len(places) > limit else None,
    )


def list_failed_jobs(
    service: Service, owner: str | None, code: str, *, limit: int, cursor: str | None = None
) -> JobPage:
    """A page of an owner's jobs that failed with this code; it may be shorter than ``limit``, and yet not the last.

    Args:
        limit, cursor: as in ``list_jobs``.

    Raises:
        InvalidRequest: no page has ever had this cursor.
    """
    first = "+" if cursor is None else f"({place_in(cursor)}"
    failed = list_key(owner, Status.FAILED)
    places = cast(
        list[str], service.valkey.zrange(failed, first, "-", desc=True, bylex=True, offset=0, num=LOOKED_AT + 1)
    )
    jobs = service.store.existing([place.partition(":")[2] for place in places[:LOOKED_AT]])
    found = [job for job in jobs if job.error is not None and job.error.code == code]
    last = [place_of(found[limit - 1])] if len(found) > limit else places[LOOKED_AT - 1 : -1]
    return JobPage(
        jobs=tuple(service.records.of(job) for job in found[:limit]),
        next_cursor=cursor_at(last[0]) if last else None,
    )


def list_batch_jobs(
    service: Service, batch: Batch, *, status: Status | None = None, limit: int, cursor: str | None = None
) -> JobPage:
    """A page of the jobs of a batch that are queued, drawn or not yet among its results.

    Args:
        status, limit, cursor: as in ``list_jobs``.

    Raises:
        InvalidRequest: no page has ever had this cursor.
    """
    before = None if cursor is None else place_in(cursor)
    jobs = {place_of(job): job for job in service.store.existing(service.batch_progress.jobs(batch))}
    places = [
        place
        for place, job in sorted(jobs.items(), reverse=True)
        if status in (None, job.status) and (before is None or place < before)
    ]
    return JobPage(
        jobs=tuple(service.records.of(jobs[place]) for place in places[:limit]),
        next_cursor=cursor_at(places[limit - 1]) if len(places) > limit else None,
    )


def place_of(job: Job) -> str:
    """The name of a job in lists."""
    return f"{job.created_at.timestamp():.6f}:{job.id}"
