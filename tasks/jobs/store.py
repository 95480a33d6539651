"""The job store: decides, once and in Valkey or Redis, which worker may work on which job.

Celery delivers a message at least once. Every step of a job's life is therefore one atomic script
(``tasks/jobs/*.lua``), and a step by a worker holds only under its fencing token: the number of the attempt, and a
random part of each claim, so that a server that has lost its last second hands out no token twice. All times are the
server's, so that machines need not agree on theirs.

    stokehold:job:<id>           hash    the job
    stokehold:waiting:<slug>     sorted  ids of queued jobs of a base model, in the order in which they are due
    stokehold:unsent             sorted  ids of queued interactive jobs whose message is not known to be sent, by age
    stokehold:leases             sorted  ids of running jobs, by the time at which their lease lapses
    stokehold:deadlines          sorted  ids of jobs that never began and have a deadline, by that time
    stokehold:finished           sorted  ids of jobs that have ended, by the time at which they did
    stokehold:jobs:<owner>       sorted  `<created>:<id>` of an owner's jobs, so that their names sort by age;
                                         the same with `:<status>` behind it for those of one status
    stokehold:pace:<slug>        hash    seconds that jobs of a base model take: moving averages
    stokehold:webhooks           sorted  ids of ended jobs, by the time at which their webhook is to be sent (again)
    stokehold:unsettled_images            set     attempts that may have left images; ``tasks/jobs/images.py`` has more
    stokehold:interactive:<slug> sorted  owners with queued interactive jobs; ``interactive_lane.py`` has more
    stokehold:backfill:<slug>    sorted  groups of queued backfill jobs; ``backfill_lane.py`` has more
    stokehold:idempotency:<key>  hash    the first job of an idempotency key, for a day
    stokehold:changes:<id>       channel announces each new status
    stokehold:canceled           channel announces the id of each canceled job
"""

from __future__ import annotations

import json
import logging
import secrets
import uuid
from collections.abc import Callable, Mapping

from tasks.errors import DeadlineExceeded, JobNotFound, LeaseLost, LeftToAnother, RecordNotUnderstood, StatusConflict
from tasks.jobs.hash import flat, job_of
from tasks.jobs.job import Job, Lease, Measured, Progress, Status, sources
from tasks.jobs.keyspace import (
    CANCELED,
    DEADLINES,
    FINISHED,
    LANE_OFFSET_S,
    LEASES,
    UNSENT,
    UNSETTLED_IMAGES,
    WEBHOOKS,
    channel_of,
    groups_key,
    job_key,
    lane_keys,
    list_key,
    pace_key,
    waiting_key,
)
from tasks.jobs.reader import JobReader
from tasks.jobs.result import Failure, Result, Timings
from tasks.valkey import Valkey

logger = logging.getLogger(__name__)

CLAIM_BYTES = 8
"""Random bytes of a claim: two claims of one attempt of one job are alike once in 10^19."""


class JobStore(JobReader):
    """The steps of jobs, from claimed to expired; ``JobRecorder`` has the first one, ``JobIndex`` the due jobs.

    Args:
        lease_s: seconds without a sign of life after which a job may be taken from its worker.
    """

    def __init__(self, valkey: Valkey, *, lease_s: float) -> None:
        super().__init__(valkey)
        self._lease_s = lease_s
        self._transition = valkey.script("jobs/turns", "jobs/transition")
        self._mark_sent = valkey.script("jobs/mark_sent")
        self._renew = valkey.script("jobs/renew")
        self._forget = valkey.script("jobs/forget")

    def mark_sent(self, job: Job) -> None:
        """Note that the job's message is on its queue; nothing happens if a worker has claimed the job meanwhile."""
        self._mark_sent(keys=[job_key(job.id), UNSENT], args=[job.id, job.lease.token])

    def claim(self, job_id: str, worker: str, spare: Callable[[Job], bool] = lambda _: False) -> Job | None:
        """Take a queued job for this worker, under a new lease; None if it cannot be taken.

        A job whose deadline has passed is ended instead.

        Args:
            spare: whether this worker shall leave a job to another one.

        Raises:
            LeftToAnother: ``spare`` says so, or only a newer version can draw it.
        """
        try:
            job = self.get(job_id)
            if job.status is Status.QUEUED and spare(job):
                raise LeftToAnother(f"Job {job_id} failed on worker {worker} and is left to another one.")
            if job.spec.unknown:
                raise LeftToAnother(
                    f"Job {job_id} is left to a newer worker, which knows {', '.join(job.spec.unknown)}."
                )
            fields = self._step(job, Status.RUNNING, {"worker": worker, "claim": secrets.token_hex(CLAIM_BYTES)})
        except (JobNotFound, StatusConflict):
            return None
        except RecordNotUnderstood as error:
            raise LeftToAnother(f"A job is left to a newer worker. {error}") from error
        except DeadlineExceeded:
            self.end_late(job)
            return None
        return job_of(job_id, fields)

    def renew(self, lease: Lease, progress: Progress | None = None, *, waits: bool | None = None) -> None:
        """Renew the lease, with the progress of the drawing, and whether the job waits for another to be drawn.

        Raises:
            LeaseLost: another attempt owns the job, or it was canceled.
        """
        fields = {} if progress is None else {"progress": progress.model_dump_json()}
        if waits is not None:
            fields["waits"] = str(int(waits))
        kept = self._renew(
            keys=[job_key(lease.job_id), LEASES], args=[lease.job_id, lease.token, self._lease_s, *flat(fields)]
        )
        if not kept:
            raise LeaseLost(f"Attempt {lease.attempt} no longer owns job {lease.job_id}; nothing of it is published.")

    def succeed(self, job: Job, result: Result, timings: Timings) -> None:
        """Finish the job with its images.

        Raises:
            LeaseLost: another attempt owns the job.
        """
        fields = {"result": result.model_dump_json(), "timings": timings.model_dump_json()}
        self._step(job, Status.SUCCEEDED, fields, fenced=True, measured=Measured.of(job.spec, timings))

    def fail(self, job: Job, failure: Failure, timings: Timings = Timings()) -> None:  # noqa: B008  (frozen)
        """End the job without images.

        Raises:
            LeaseLost: another attempt owns the job.
        """
        fields = {"error": failure.model_dump_json(), "timings": timings.model_dump_json()}
        self._step(job, Status.FAILED, fields, fenced=True)

    def requeue(self, job: Job, *, uncounted: bool = False, failed_on: str | None = None) -> None:
        """Queue the job once more, to be sent again.

        Args:
            uncounted: the attempt does not count as one that the job has killed.
            failed_on: the worker whose machine was at fault, which leaves the job to others where there are any.

        Raises:
            LeaseLost: another attempt owns the job.
        """
        fields = {"uncounted": str(job.uncounted + uncounted)}
        if failed_on is not None:
            fields["failed_on"] = json.dumps([*job.failed_on, failed_on])
        self._step(job, Status.QUEUED, fields, fenced=True)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job. A worker that draws it stops at its next step.

        Raises:
            JobNotFound: there is none.
            StatusConflict: it has ended already.
        """
        return job_of(job_id, self._step(self.get(job_id), Status.CANCELED, {}))

    def end_late(self, job: Job) -> None:
        """Fail a job whose deadline has passed; nothing happens if it has ended meanwhile."""
        message = (
            f"The job did not begin within {job.options.deadline_s:g} s. Set a longer deadline, or try again later."
        )
        try:
            self.fail(job, Failure(code=DeadlineExceeded.code, message=message))
        except LeaseLost as error:
            logger.info("job %s is not late any more: %s", job.id, error)

    def forget(self, job: Job, *, after_s: int = 0) -> None:
        """Remove a finished job's record and everything that indexes it.

        Args:
            after_s: seconds for which the record itself can still be read, by a request that has begun already.
        """
        self._forget(keys=[job_key(job.id), FINISHED, list_key(job.options.owner)], args=[job.id, after_s])

    def _step(
        self,
        job: Job,
        target: Status,
        fields: Mapping[str, str],
        *,
        fenced: bool = False,
        measured: Measured = Measured(),  # noqa: B008  (frozen)
    ) -> dict[str, str]:
        """Take the job to another status, and return its hash."""
        slug = job.spec.base_model
        indexes = [waiting_key(slug), UNSENT, LEASES, DEADLINES, FINISHED, list_key(job.options.owner), pace_key(slug)]
        indexes += [WEBHOOKS, groups_key(slug), UNSETTLED_IMAGES, *lane_keys(slug, job.options.owner)]
        answer = self._transition(
            keys=[job_key(job.id), *indexes],
            args=[
                job.id,
                " ".join(sorted(sources(target))),
                target,
                job.lease.token if fenced else "",
                self._lease_s,
                measured.model_dump_json(exclude_none=True),
                LANE_OFFSET_S[job.lane] + job.created_at.timestamp(),
                channel_of(job.id),
                uuid.uuid4().hex,
                CANCELED,
                *flat(fields),
            ],
        )
        match answer:
            case "missing" if fenced:
                raise LeaseLost(f"Job {job.id} is gone; nothing of attempt {job.attempt} is published.")
            case "missing":
                raise JobNotFound(f"There is no job {job.id!r}. It may have expired. Submit it again.")
            case "fenced":
                raise LeaseLost(f"Attempt {job.attempt} no longer owns job {job.id}; nothing of it is published.")
            case "refused" if fenced:
                raise LeaseLost(f"Job {job.id} is no longer running; nothing of attempt {job.attempt} is published.")
            case "refused":
                raise StatusConflict(
                    f"Job {job.id} cannot become {target} from its current status. Poll it to see its status."
                )
            case "late":
                raise DeadlineExceeded(f"Job {job.id} has not begun before its deadline.")
        return dict(zip(answer[::2], answer[1::2], strict=True))
