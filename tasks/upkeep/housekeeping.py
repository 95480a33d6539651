"""Four loops that bring jobs back when a worker or the API died, in a process that needs Valkey alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.base_models.registry import BaseModels
from tasks.errors import LeaseLost, WorkerLost
from tasks.jobs.index import JobIndex
from tasks.jobs.job import Job
from tasks.jobs.keyspace import DEADLINES, LEASES, UNSENT, waiting_key
from tasks.jobs.result import Failure
from tasks.jobs.store import JobStore
from tasks.lanes.queues import JobQueues
from tasks.upkeep.each_job import EachJob

logger = logging.getLogger(__name__)

# A healthy submission marks its job as sent within milliseconds; after this time, its process has died.
UNSENT_AFTER_S = 2.0

LOST_AFTER_S = 5.0
"""A message is claimed within milliseconds of leaving its queue; after this time, the worker that took it has died."""


MAX_PER_ROUND = 1000
"""Jobs of an index that one round looks at, if it has time; the next round continues."""


@dataclass(frozen=True)
class Housekeeping:
    """Brings jobs back.

    Attributes:
        max_attempts: attempts in which a job may kill its worker.
        now: the clock of Valkey, in seconds since 1970.
    """

    each_job: EachJob
    store: JobStore
    index: JobIndex
    queues: JobQueues
    base_models: BaseModels
    max_attempts: int
    now: Callable[[], float]

    def requeue_lapsed(self) -> None:
        """Queue the jobs again whose workers have died."""
        self.each_job(LEASES, self.index.lapsed(MAX_PER_ROUND), self.requeue_lapsed_job)

    def end_late(self) -> None:
        """Fail the jobs that have not begun by their deadlines."""
        self.each_job(DEADLINES, self.index.late(MAX_PER_ROUND), self.store.end_late)

    def send_unsent(self) -> None:
        """Send the messages of jobs whose submission was cut off before it did."""
        unsent = self.index.unsent(UNSENT_AFTER_S, MAX_PER_ROUND)
        self.each_job(UNSENT, unsent, self.queues.send)

    def resend_lost(self) -> None:
        """Send interactive jobs again whose message a worker took, and died before it claimed the job."""
        for model in self.base_models:
            self.resend_lost_of(model.slug)

    def resend_lost_of(self, slug: str) -> None:
        """Do this for the queue of one base model.

        There are then fewer messages than queued jobs. Any message stands for any job, so as many of the first jobs are
        sent again as there are messages too few, if these had time to arrive.
        """
        lost = self.index.waiting_for_message(slug) - self.queues.messages(slug)
        first = self.index.first(slug, min(lost, MAX_PER_ROUND))
        now = datetime.fromtimestamp(self.now(), UTC)
        self.each_job(waiting_key(slug), first, lambda job: self.resend_if_lost(job, now))

    def resend_if_lost(self, job: Job, now: datetime) -> None:
        """Send a job again unless its message is on the way: it was sent just now, or is still to be sent.

        A message that was sent later than now was sent before the server's clock was set back.
        """
        if job.sent_at is not None and not now - timedelta(seconds=LOST_AFTER_S) < job.sent_at <= now:
            self.queues.send(job)
            logger.warning("job %s is sent again: a worker took its message and did not claim it", job.id)

    def requeue_lapsed_job(self, job: Job) -> None:
        """Queue a job again whose worker has died, or end it after the last attempt."""
        try:
            if job.may_be_tried_again(self.max_attempts):
                self.store.requeue(job, uncounted=job.waits)
                self.queues.send(job)
                logger.warning("job %s is queued again: worker %s gave no sign of life", job.id, job.worker)
            else:
                message = (
                    f"The worker died {job.tries} times while it worked on this job. Request smaller or fewer images."
                )
                self.store.fail(job, Failure(code=WorkerLost.code, message=message))
                logger.error("job %s failed: its worker died in each of %d attempts", job.id, job.tries)
        except LeaseLost:
            logger.info("job %s moved on by itself", job.id)
