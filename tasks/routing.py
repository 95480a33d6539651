"""Which Celery queue a job travels on, with which priority."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from amqp.exceptions import ChannelError
from celery import Celery
from kombu.exceptions import OperationalError

from tasks.job import Job, Lane
from tasks.job_store import JobStore

logger = logging.getLogger(__name__)

GENERATE = "generate"
BACKFILL = "backfill"
HOUSEKEEPING = "housekeeping"
RETENTION = "retention"
PLAN_BATCHES = "plan_batches"
ADVANCE_BATCHES = "advance_batches"
DELIVER = "deliver"
LIGHT_QUEUE = "light"
"""Work without a device: housekeeping, retention, batches and webhooks."""

PRIORITIES: Mapping[Lane, int] = MappingProxyType({Lane.INTERACTIVE: 0, Lane.BACKFILL: 9})
"""Celery's message priorities; on Valkey and Redis 0 goes first."""


def queue_of(slug: str) -> str:
    """The queue of a base model; only workers that keep this model warm listen on it."""
    return f"base.{slug}"


def messages(celery: Celery, slug: str) -> int:
    """How many messages wait on the queue of a base model."""
    with celery.connection_for_read() as connection:
        channel: Any = connection.default_channel  # kombu's own annotation knows less than its channels can
        try:
            return int(channel.queue_declare(queue_of(slug), passive=True).message_count)
        except ChannelError:  # with Valkey and Redis an empty queue does not exist
            return 0


def announce_backfill(celery: Celery, slug: str) -> None:
    """Put a message on the queue of a base model that says that there is a backfill job, and not which.

    Raises:
        OperationalError: the broker does not take it.
    """
    celery.send_task(BACKFILL, queue=queue_of(slug), priority=PRIORITIES[Lane.BACKFILL], ignore_result=True)


def send(celery: Celery, store: JobStore, job: Job) -> None:
    """Send the message of a queued job to its base model's queue and note it as sent.

    A broker that does not take it is no error here: the job is recorded as unsent, and housekeeping sends it later.
    """
    try:
        if job.lane is Lane.BACKFILL:
            announce_backfill(celery, job.spec.base_model)
        else:
            queue, priority = queue_of(job.spec.base_model), PRIORITIES[job.lane]
            celery.send_task(GENERATE, args=(job.id,), queue=queue, priority=priority, ignore_result=True)
    except OperationalError as error:
        logger.warning("job %s is recorded and not sent yet: %s", job.id, error)
        return
    store.mark_sent(job)
