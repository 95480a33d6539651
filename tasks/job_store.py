"""The job store: who may work on which job is decided here, once, in Valkey or Redis.

Celery delivers a message at least once. Every step of a job's life is therefore one atomic script (``tasks/lua``), and
a step by a worker holds only under its fencing token. All times are the server's, so that machines need not agree on
theirs.

    stokehold:job:<id>           hash    the job
    stokehold:waiting:<slug>     sorted  ids of queued jobs of a base model, in the order in which they are due
    stokehold:unsent             sorted  ids of queued jobs whose message is not known to be sent, by age
    stokehold:leases             sorted  ids of running jobs, by the time at which their lease lapses
    stokehold:changes:<id>       channel announces each new status
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter

from tasks.broker import Broker, broker_errors
from tasks.errors import JobNotFound, LeaseLost, StatusConflict
from tasks.job import Failure, Job, JobSpec, Lane, Lease, Progress, Result, Status, Terms, Timings, sources

LUA = Path(__file__).parent / "lua"
JOB = "stokehold:job:"
UNSENT = "stokehold:unsent"
LEASES = "stokehold:leases"

# Backfill jobs sort behind every interactive one, whatever their age: more seconds than any clock shows.
LANE_OFFSET_S = {Lane.INTERACTIVE: 0, Lane.BACKFILL: 10**11}

JSON_FIELDS: Mapping[str, TypeAdapter[Any]] = {
    "spec": TypeAdapter(JobSpec),
    "terms": TypeAdapter(Terms),
    "progress": TypeAdapter(Progress),
    "timings": TypeAdapter(Timings),
    "error": TypeAdapter(Failure),
    "result": TypeAdapter(Result),
}


class JobStore:
    """Jobs, from accepted to expired.

    Args:
        broker: where everything is kept.
        lease_s: seconds without a sign of life after which a job may be taken from its worker.
        retention_s: seconds that a finished job is kept.
        new_id: makes the ids of jobs; must be unguessable.
    """

    def __init__(self, broker: Broker, *, lease_s: float, retention_s: int, new_id: Callable[[], str]) -> None:
        self._broker = broker
        self._lease_s = lease_s
        self._retention_s = retention_s
        self.new_id = new_id
        self._create = broker.register_script((LUA / "create.lua").read_text("utf-8"))
        self._move = broker.register_script((LUA / "move.lua").read_text("utf-8"))
        self._mark_sent = broker.register_script((LUA / "mark_sent.lua").read_text("utf-8"))
        self._renew = broker.register_script((LUA / "renew.lua").read_text("utf-8"))

    def create(
        self,
        spec: JobSpec,
        lane: Lane = Lane.INTERACTIVE,
        terms: Terms = Terms(),  # noqa: B008  (frozen)
        *,
        job_id: str | None = None,
    ) -> Job:
        """Record a new job as queued, under an id of ``new_id`` if it has one already. Its message is not sent yet."""
        job_id = job_id or self.new_id()
        fields = {"spec": spec.model_dump_json(), "terms": terms.model_dump_json()}
        created = self._create(
            keys=[_job(job_id), _waiting(spec.base_model), UNSENT],
            args=[job_id, LANE_OFFSET_S[lane], *_flat({**fields, "lane": lane})],
        )
        return Job(id=job_id, spec=spec, terms=terms, lane=lane, status=Status.QUEUED, created_at=_datetime(created))

    def mark_sent(self, job: Job) -> None:
        """Note that the job's message is on its queue; nothing happens if a worker has claimed the job meanwhile."""
        self._mark_sent(keys=[_job(job.id), UNSENT], args=[job.id, job.attempt])

    def get(self, job_id: str) -> Job:
        """The job as it stands now.

        Raises:
            JobNotFound: there is none, or it has expired.
        """
        fields = cast(dict[str, str], self._broker.hgetall(_job(job_id)))
        if not fields:
            raise JobNotFound(f"There is no job {job_id!r}. It may have expired; submit it again.")
        return _job_of(job_id, fields)

    def claim(self, job_id: str, worker: str) -> Job | None:
        """Take a queued job for this worker, under a new lease; None if it is not there to be taken."""
        try:
            job = self.get(job_id)
            self._step(job, Status.RUNNING, {"worker": worker})
        except (JobNotFound, StatusConflict):
            return None
        return self.get(job_id)

    def renew(self, lease: Lease, progress: Progress | None = None) -> None:
        """Show that the worker lives, and how far the drawing is.

        Raises:
            LeaseLost: another attempt owns the job, or it was canceled.
        """
        fields = {} if progress is None else {"progress": progress.model_dump_json()}
        kept = self._renew(
            keys=[_job(lease.job_id), LEASES], args=[lease.job_id, lease.attempt, self._lease_s, *_flat(fields)]
        )
        if not kept:
            raise LeaseLost(f"Attempt {lease.attempt} no longer owns job {lease.job_id}; nothing of it is published.")

    def succeed(self, job: Job, result: Result, timings: Timings) -> None:
        """Finish the job with its images.

        Raises:
            LeaseLost: another attempt owns the job.
        """
        fields = {"result": result.model_dump_json(), "timings": timings.model_dump_json()}
        self._step(job, Status.SUCCEEDED, fields, fenced=True)

    def fail(self, job: Job, failure: Failure, timings: Timings = Timings()) -> None:  # noqa: B008  (frozen)
        """End the job without images.

        Raises:
            LeaseLost: another attempt owns the job.
        """
        fields = {"error": failure.model_dump_json(), "timings": timings.model_dump_json()}
        self._step(job, Status.FAILED, fields, fenced=True)

    def requeue(self, job: Job) -> None:
        """Give the job back, to be sent again.

        Raises:
            LeaseLost: another attempt owns the job.
        """
        self._step(job, Status.QUEUED, {}, fenced=True)

    def lapsed(self) -> list[Job]:
        """Running jobs whose worker gave no sign of life for the length of a lease."""
        return self._existing(self._broker.zrangebyscore(LEASES, "-inf", self._now()))

    def unsent(self, older_than_s: float) -> list[Job]:
        """Queued jobs of at least this age whose message is not known to be sent."""
        return self._existing(self._broker.zrangebyscore(UNSENT, "-inf", self._now() - older_than_s))

    def overdue(self, slug: str, count: int, sent_s_ago: float) -> list[Job]:
        """Of the first ``count`` queued jobs of a base model, those whose latest message is at least this old."""
        sent_before = datetime.fromtimestamp(self._now() - sent_s_ago, UTC)
        first = self._existing(self._broker.zrange(_waiting(slug), 0, count - 1)) if count > 0 else []
        return [job for job in first if job.sent_at is not None and job.sent_at <= sent_before]

    def position(self, job: Job) -> int | None:
        """How many queued jobs of its base model are before it; None once it waits no more."""
        return cast(int | None, self._broker.zrank(_waiting(job.spec.base_model), job.id))

    def waiting(self, slug: str) -> int:
        """How many jobs of a base model are queued."""
        return self._broker.zcard(_waiting(slug))

    def wait(self, job_id: str, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> Job:
        """The job, as soon as its status is another than now or the time is over.

        Raises:
            JobNotFound: there is none.
        """
        deadline = clock() + timeout_s
        subscription = self._broker.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        with broker_errors(), closing(subscription) as changes:
            changes.subscribe(_channel(job_id))
            changes.get_message(ignore_subscribe_messages=False, timeout=timeout_s)  # subscribed: no change goes unseen
            job = self.get(job_id)
            while not job.status.is_terminal and (left := deadline - clock()) > 0:
                if changes.get_message(timeout=left) is not None:
                    return self.get(job_id)
        return job

    def _step(self, job: Job, target: Status, fields: Mapping[str, str], *, fenced: bool = False) -> None:
        answer = self._move(
            keys=[_job(job.id), _waiting(job.spec.base_model), UNSENT, LEASES],
            args=[
                job.id,
                " ".join(sorted(sources(target))),
                target,
                job.attempt if fenced else "",
                self._lease_s,
                self._retention_s,
                LANE_OFFSET_S[job.lane] + job.created_at.timestamp(),
                _channel(job.id),
                uuid.uuid4().hex,
                *_flat(fields),
            ],
        )
        match answer:
            case "missing":
                raise JobNotFound(f"There is no job {job.id!r}. It may have expired; submit it again.")
            case "fenced":
                raise LeaseLost(f"Attempt {job.attempt} no longer owns job {job.id}; nothing of it is published.")
            case "refused" if fenced:
                raise LeaseLost(f"Job {job.id} is no longer running; nothing of attempt {job.attempt} is published.")
            case "refused":
                raise StatusConflict(f"Job {job.id} cannot become {target} from where it stands.")

    def _existing(self, ids: object) -> list[Job]:
        jobs = []
        for job_id in cast(list[str], ids):
            fields = cast(dict[str, str], self._broker.hgetall(_job(job_id)))
            if fields:
                jobs.append(_job_of(job_id, fields))
        return jobs

    def _now(self) -> float:
        seconds, microseconds = self._broker.time()
        return seconds + microseconds / 1e6


def _job(job_id: str) -> str:
    return JOB + job_id


def _waiting(slug: str) -> str:
    return f"stokehold:waiting:{slug}"


def _channel(job_id: str) -> str:
    return f"stokehold:changes:{job_id}"


def _flat(fields: Mapping[str, str]) -> list[str]:
    return [part for pair in fields.items() for part in pair]


def _datetime(seconds: str) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)


def _job_of(job_id: str, fields: Mapping[str, str]) -> Job:
    """Build a job from its hash; a field that is not there yet keeps the model's default."""
    parsed: dict[str, object] = {}
    for name in ("status", "lane", "attempt", "worker"):
        if name in fields:
            parsed[name] = fields[name]
    for name in ("created_at", "sent_at", "started_at", "finished_at"):
        if name in fields:
            parsed[name] = _datetime(fields[name])
    for name, model in JSON_FIELDS.items():
        if name in fields:
            parsed[name] = model.validate_json(fields[name])
    return Job.model_validate({"id": job_id, **parsed})
