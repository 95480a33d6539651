"""New jobs in the job store, each recorded once even if its request is repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from tasks.errors import IdempotencyConflict, JobNotFound
from tasks.fields import VERSION
from tasks.jobs.grouping import group_of, settings_digest
from tasks.jobs.hash import datetime_of, flat
from tasks.jobs.idempotency import Idempotency
from tasks.jobs.job import Job, JobOptions, JobSpec, Lane, Status
from tasks.jobs.keyspace import (
    DEADLINES,
    LANE_OFFSET_S,
    UNSENT,
    groups_key,
    idempotency_key,
    job_key,
    lane_keys,
    list_key,
    waiting_key,
)
from tasks.jobs.line_place import LinePlace
from tasks.jobs.reader import JobReader
from tasks.valkey import Valkey


class JobRecorder(JobReader):
    """Records new jobs.

    Args:
        new_id: makes the ids of jobs; must be unguessable.
    """

    def __init__(self, valkey: Valkey, *, new_id: Callable[[], str]) -> None:
        super().__init__(valkey)
        self.new_id = new_id
        self._create = valkey.script("jobs/turns", "jobs/create")

    def create_once(
        self, job_id: str, spec: JobSpec, lane: Lane, options: JobOptions, idempotency: Idempotency | None
    ) -> tuple[Job, bool]:
        """Record a new job, unless the idempotency key has one already; return the job, and whether it is new.

        Args:
            job_id: of ``new_id``; the new job's.

        Raises:
            IdempotencyConflict: the key belongs to another request.
        """
        created = self._record(job_id, spec, lane, options, idempotency=idempotency)
        if idempotency is not None and isinstance(created, list):
            return self._first_job(idempotency, *created), False
        return new_job(job_id, spec, lane, options, created), True

    def create_line(self, job_id: str, spec: JobSpec, options: JobOptions, place: LinePlace) -> Job | None:
        """Record a line of a batch as a new job, if it is the next one of its group; else None."""
        created = self._record(job_id, spec, Lane.BACKFILL, options, place=place)
        return None if created is None else new_job(job_id, spec, Lane.BACKFILL, options, created)

    def _record(
        self,
        job_id: str,
        spec: JobSpec,
        lane: Lane,
        options: JobOptions,
        *,
        idempotency: Idempotency | None = None,
        place: LinePlace | None = None,
    ) -> Any:
        """Return the reply of ``create.lua``."""
        slug, group = spec.base_model, group_of(spec, options) if lane is Lane.BACKFILL else ""
        job = job_key(job_id)
        keys = [job, waiting_key(slug), UNSENT, DEADLINES, list_key(options.owner), groups_key(slug)]
        keys.append(idempotency_key(idempotency) if idempotency else job)
        keys += [place.cursors, place.jobs] if place else [job, job]
        keys += [*lane_keys(slug, options.owner), place.batch if place else job]
        line = [place.group, place.begin, place.end] if place else ["", "", ""]
        fields = {
            "record_version": str(VERSION),
            "needs": " ".join(spec.needs),
            "spec": spec.model_dump_json(),
            "options": options.model_dump_json(),
            "lane": lane,
        }
        if group:
            fields["settings"] = settings_digest(spec)
        if place:
            fields["ended"] = place.ended
        request, keep_s = (idempotency.request, idempotency.keep_s) if idempotency else ("", 0)
        return self._create(
            keys=keys,
            args=[
                *(job_id, LANE_OFFSET_S[lane], _or_empty(options.deadline_s), request, keep_s, group),
                *(*line, options.weight, place.plan if place else ""),
                *flat(fields),
            ],
        )

    def created_before(self, idempotency: Idempotency) -> Job | None:
        """The first job of an idempotency key, if it still exists.

        Raises:
            IdempotencyConflict: the key belongs to another request.
        """
        first, request = cast(list[str], self._valkey.hmget(idempotency_key(idempotency), "id", "digest"))
        try:
            return self._first_job(idempotency, first, request) if first else None
        except JobNotFound:
            return None

    def _first_job(self, idempotency: Idempotency, job_id: str, request: str) -> Job:
        job = self.get(job_id)
        if request != idempotency.request:
            raise IdempotencyConflict(
                "This Idempotency-Key was used for another request. Send a new key with a new request; "
                "to get the first job again, repeat its request unchanged."
            )
        return job


def new_job(job_id: str, spec: JobSpec, lane: Lane, options: JobOptions, created: str) -> Job:
    """A job as it is when it is created."""
    return Job(id=job_id, spec=spec, options=options, lane=lane, status=Status.QUEUED, created_at=datetime_of(created))


def _or_empty(value: str | float | None) -> str | float:
    """Return a value for a script: Lua has no null among its arguments."""
    return "" if value is None else value
