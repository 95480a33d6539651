"""What brings a job back when a worker or the API died: run by the light worker every few seconds."""

from __future__ import annotations

import logging

from tasks.errors import LeaseLost, WorkerLost
from tasks.job import Failure, Job
from tasks.routing import send
from tasks.service import Service

logger = logging.getLogger(__name__)

# A healthy submission marks its job as sent within milliseconds; this long, and the process that accepted it is gone.
UNSENT_AFTER_S = 2.0


def housekeeping(service: Service) -> None:
    """One round: take back jobs whose lease has lapsed, then send those whose message is not known to be sent."""
    for job in service.store.lapsed():
        take_back(service, job)
    for job in service.store.unsent(UNSENT_AFTER_S):
        send(service.celery, service.store, job)


def take_back(service: Service, job: Job) -> None:
    """Queue a job again whose worker is gone, or end it after the last attempt."""
    try:
        if job.attempt >= service.settings.max_attempts:
            message = (
                f"The worker died {job.attempt} times while it worked on this job. Ask for a smaller or simpler one."
            )
            service.store.fail(job, Failure(code=WorkerLost.code, message=message))
            logger.error("job %s failed: its worker died in each of %d attempts", job.id, job.attempt)
        else:
            service.store.requeue(job)
            send(service.celery, service.store, job)
            logger.warning("job %s is queued again: worker %s gave no sign of life", job.id, job.worker)
    except LeaseLost:
        logger.info("job %s moved on by itself", job.id)
