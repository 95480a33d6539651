"""The Celery queues of jobs. Backfill jobs travel on none: a worker that has time for one asks for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from amqp.exceptions import ChannelError
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from tasks.errors import ValkeyUnavailable
from tasks.jobs.job import Job, Lane, log_fields
from tasks.jobs.store import JobStore
from tasks.logs import log_context

logger = logging.getLogger(__name__)

GENERATE = "generate"


def queue_of(slug: str) -> str:
    """The queue of a base model; only workers that keep this model warm listen on it."""
    return f"base.{slug}"


@dataclass(frozen=True)
class JobQueues:
    """The messages on the queues of all base models."""

    celery: Celery
    store: JobStore

    def messages(self, slug: str) -> int:
        """Return the number of messages on the queue of a base model.

        Raises:
            ValkeyUnavailable: Valkey does not answer.
        """
        try:
            with self.celery.connection_for_read() as connection:
                channel: Any = connection.default_channel  # kombu's own annotation knows less than its channels can
                return int(channel.queue_declare(queue_of(slug), passive=True).message_count)
        except ChannelError:  # with Valkey and Redis an empty queue does not exist
            return 0
        except (OperationalError, RedisError) as error:
            raise ValkeyUnavailable(f"Valkey does not answer: {error}") from error

    def requeue_unclaimed(self, slug: str, job_id: str) -> None:
        """Put back a message that a worker has received and does nothing with.

        It is not an error if Valkey does not take it: housekeeping finds fewer messages than queued jobs.
        """
        try:
            self.celery.send_task(GENERATE, args=(job_id,), queue=queue_of(slug), ignore_result=True)
        except OperationalError as error:
            logger.warning("a message to the workers of %s is not requeued: %s", slug, error)

    def send(self, job: Job) -> None:
        """Send the message of a queued interactive job to its base model's queue and note it as sent.

        It says that a job waits; its id is for the log. Which job is drawn next is decided at the claim.

        It is not an error if Valkey does not take it: the job is recorded as unsent, and housekeeping sends it later.
        """
        if job.lane is Lane.BACKFILL:
            return
        with log_context(log_fields(job)):
            try:
                self.celery.send_task(GENERATE, args=(job.id,), queue=queue_of(job.spec.base_model), ignore_result=True)
            except OperationalError as error:
                logger.warning("recorded and not sent yet: %s", error)
                return
            self.store.mark_sent(job)
