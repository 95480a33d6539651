"""What brings a job back when a worker or the API died: four loops in a process that needs Valkey alone."""

from __future__ import annotations

import logging

from tasks.errors import LeaseLost, WorkerLost
from tasks.job import Failure, Job
from tasks.routing import messages, send
from tasks.service import Service

logger = logging.getLogger(__name__)

# A healthy submission marks its job as sent within milliseconds; this long, and the process that accepted it is gone.
UNSENT_AFTER_S = 2.0

LOST_AFTER_S = 5.0
"""A message is claimed within milliseconds of leaving its queue; this long, and the worker that took it is gone."""


def take_back_lapsed(service: Service) -> None:
    """Queue the jobs again whose workers are gone."""
    for job in service.store.lapsed():
        take_back(service, job)


def end_late(service: Service) -> None:
    """Fail the jobs that have not begun by their deadlines."""
    for job in service.store.late():
        service.store.end_late(job)


def send_unsent(service: Service) -> None:
    """Send the messages of jobs whose submission was cut off before it did."""
    for job in service.store.unsent(UNSENT_AFTER_S):
        send(service.celery, service.store, job)


def resend_lost(service: Service) -> None:
    """Send interactive jobs again whose message a worker took, and died before it claimed the job."""
    for model in service.base_models:
        resend_lost_of(service, model.slug)


def resend_lost_of(service: Service, slug: str) -> None:
    """The same for the queue of one base model.

    There are then fewer messages than queued jobs. Any message stands for any job, so as many of the first jobs are
    sent again as there are messages too few, if these had time to arrive.
    """
    on_queue = messages(service.celery, slug)
    for job in service.store.overdue(slug, service.store.waiting_for_message(slug) - on_queue, LOST_AFTER_S):
        send(service.celery, service.store, job)
        logger.warning("job %s is sent again: a worker took its message and did not claim it", job.id)


def take_back(service: Service, job: Job) -> None:
    """Queue a job again whose worker is gone, or end it after the last attempt."""
    try:
        if job.tries >= service.settings.max_attempts:
            message = f"The worker died {job.tries} times while it worked on this job. Ask for less."
            service.store.fail(job, Failure(code=WorkerLost.code, message=message))
            logger.error("job %s failed: its worker died in each of %d attempts", job.id, job.tries)
        else:
            service.store.requeue(job, given_back=job.waits)
            send(service.celery, service.store, job)
            logger.warning("job %s is queued again: worker %s gave no sign of life", job.id, job.worker)
    except LeaseLost:
        logger.info("job %s moved on by itself", job.id)
