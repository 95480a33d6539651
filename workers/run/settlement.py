"""The end of an attempt in the job store: the job succeeded, failed, or goes back to the queue."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tasks.errors import LeaseLost, MachineFault, ValkeyUnavailable
from tasks.jobs.images import Images
from tasks.jobs.job import Job
from tasks.jobs.result import Failure, Result
from tasks.jobs.store import JobStore
from tasks.lanes.queues import JobQueues
from workers.run.attempt import Attempt

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settlement:
    """Settles the attempts of one worker.

    Attributes:
        worker: its name.
        max_attempts: tries after which a job fails for a fault of a machine.
    """

    store: JobStore
    queues: JobQueues
    images: Images
    worker: str
    max_attempts: int

    def succeed(self, attempt: Attempt, result: Result) -> None:
        """Record the result, waiting for a job store that is unavailable: the images are drawn.

        Raises:
            ValkeyUnavailable: the worker shuts down while it waits.
            LeaseLost: another attempt owns the job.
        """
        timings = attempt.stopwatch.timings
        attempt.retry_until_shutdown(partial(self.store.succeed, attempt.job, result, timings))
        logger.info("succeeded: %s", timings)

    def fail(self, attempt: Attempt, code: str, message: str) -> None:
        """End the job as failed, unless it belongs to another attempt by now."""
        failure = Failure(code=code, message=message)
        try:
            attempt.retry_until_shutdown(partial(self.store.fail, attempt.job, failure, attempt.stopwatch.timings))
        except (ValkeyUnavailable, LeaseLost) as error:
            logger.warning("%s", error)

    def requeue_unstarted(self, job: Job) -> None:
        """Let another worker have a job that this one has not drawn."""
        self._requeue(job, partial(self.store.requeue, job, uncounted=True))

    def retry_elsewhere(self, attempt: Attempt, fault: MachineFault) -> None:
        """Let another worker try a job that met a fault of this one's machine; fail it after the last try."""
        if attempt.job.may_be_tried_again(self.max_attempts):
            self._requeue(attempt.job, partial(self.store.requeue, attempt.job, failed_on=self.worker))
        else:
            self.fail(attempt, fault.code, str(fault))

    def clean_up(self, job: Job) -> None:
        """Leave no image behind that is not the job's."""
        try:
            self.images.settle(job.lease)
        except ValkeyUnavailable as error:
            logger.warning("its images are left to housekeeping: %s", error)

    def _requeue(self, job: Job, step: Callable[[], None]) -> None:
        try:
            step()
        except (ValkeyUnavailable, LeaseLost) as error:
            logger.warning("not requeued: %s", error)
            return
        self.queues.send(job)
        logger.info("requeued")
