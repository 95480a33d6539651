"""Retries of failed jobs: one new job for each, however often it is requested ([decision 18]).

A job that failed stays failed: its webhook is sent, and its cost is counted. The new one names it as ``retry_of``.

[decision 18]: ../docs/decisions/0018-a-retry-is-a-new-job.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from tasks.client_jobs.submission import Submissions
from tasks.errors import LimitExceeded, RequestError, StatusConflict
from tasks.jobs.idempotency import idempotency_of_retry
from tasks.jobs.index import JobIndex
from tasks.jobs.job import Job, JobOptions, Status
from tasks.jobs.recorder import JobRecorder
from tasks.jobs.store import JobStore
from tasks.keys import ApiKeys

PAGE = 100
MAX_READ = 10_000
"""Failed jobs that one call looks at."""


class Retried(BaseModel):
    """A failed job, and the one that draws it again."""

    model_config = ConfigDict(frozen=True)

    job: str = Field(description="id of the job that failed")
    retry: str = Field(description="id of the new job")


class NotRetried(BaseModel):
    """A failed job that cannot be drawn again."""

    model_config = ConfigDict(frozen=True)

    job: str = Field(description="id of the job that failed")
    reason: str


class RetryReport(BaseModel):
    """The outcome of retrying many failed jobs."""

    model_config = ConfigDict(frozen=True)

    count: int = Field(description="jobs that were queued again by this request")
    retried: tuple[Retried, ...]
    skipped: tuple[NotRetried, ...] = Field(description="jobs that cannot be retried, and why")
    stopped: str | None = Field(description="why it stopped before all of them were queued again; null if it did not")


@dataclass(frozen=True)
class FailedJobs:
    """A selection of failed jobs.

    Attributes:
        code: of their error; None means any.
        since: those that failed then or later; None means all.
    """

    code: str | None = None
    since: datetime | None = None

    def include(self, job: Job) -> bool:
        """Return whether a job is selected."""
        return (
            job.status is Status.FAILED
            and self.code in (None, job.error.code if job.error else None)
            and (self.since is None or (job.finished_at is not None and job.finished_at >= self.since))
        )


@dataclass(frozen=True)
class Retries:
    """Queues failed jobs again.

    Attributes:
        retention_s: seconds that a finished job is kept, and with it the one job that draws it again.
    """

    submissions: Submissions
    recorder: JobRecorder
    store: JobStore
    index: JobIndex
    keys: ApiKeys
    retention_s: int

    def retry(self, job: Job) -> Job:
        """Queue a job with exactly the specification of one that failed; asked for again, return the same new job.

        Raises:
            BaseModelNotServed: no worker draws with its base model any more.
            InvalidRequest: the limits of its base model were lowered since.
            LimitExceeded: its owner has used as much as it may.
            StatusConflict: it has not failed, or it is a line of a batch, which is retried as a whole.
        """
        if job.status is not Status.FAILED:
            raise StatusConflict(f"Job {job.id!r} is {job.status}; only a job that has failed can be retried.")
        if (line := job.options.line) is not None:
            raise StatusConflict(f"Job {job.id!r} is a line of batch {line.batch!r}. Retry the batch.")
        idempotency = idempotency_of_retry(job.id, self.retention_s)
        if first := self.recorder.created_before(idempotency):
            return first
        self.submissions.require_drawable(job.spec)
        options: JobOptions = job.options.model_copy(
            update={"retry_of": job.id, "weight": self.keys.weight(job.options.owner)}
        )
        return self.submissions.enqueue(job.spec, options, idempotency)

    def retry_all(self, jobs: Iterable[Job], limit: int) -> RetryReport:
        """Retry at most ``limit`` of these jobs, without those that were retried before and lines of batches."""
        retried, skipped, stopped = list[Retried](), list[NotRetried](), None
        for job in jobs:
            if job.options.line is not None or self.recorder.created_before(idempotency_of_retry(job.id, 0)):
                continue
            if len(retried) == limit:
                stopped = f"{limit} jobs were queued again. Ask once more for the rest."
                break
            try:
                retried.append(Retried(job=job.id, retry=self.retry(job).id))
            except LimitExceeded as error:
                stopped = str(error)
                break
            except RequestError as error:
                skipped.append(NotRetried(job=job.id, reason=str(error)))
        return RetryReport(count=len(retried), retried=tuple(retried), skipped=tuple(skipped), stopped=stopped)

    def failed_of(self, owner: str | None, selection: FailedJobs) -> Iterator[Job]:
        """An owner's failed jobs, the oldest first."""
        for begin in range(0, MAX_READ, PAGE):
            ids = self.index.failed(owner, begin, PAGE)
            yield from filter(selection.include, self.store.existing(ids))
            if len(ids) < PAGE:
                return

    def failed_of_all(self, selection: FailedJobs) -> Iterator[Job]:
        """The failed jobs of all owners, in the order in which they failed."""
        since = None if selection.since is None else selection.since.timestamp()
        for begin in range(0, MAX_READ, PAGE):
            ids = self.index.finished(since, begin, PAGE)
            yield from filter(selection.include, self.store.existing(ids))
            if len(ids) < PAGE:
                return
