"""Celery's worker as this project runs it: its consumer of messages, and the remote commands that it obeys."""

from __future__ import annotations

import time

from celery.worker import consumer
from celery.worker.control import Panel

from tasks.celery_transport import CannotWrite

PAUSE_S = 1
"""Seconds until a server that could not write is tried again; Celery itself waits for one that is unavailable."""


class Consumer(consumer.Consumer):
    """Celery's consumer, which survives a Valkey that becomes unavailable while a message is being acknowledged."""

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the lost connection, and leave unacknowledged messages where they are.

        kombu 5.7 would put it back through that connection. Where a second channel is closed first, this ends in an
        ``AttributeError``, on which Celery 5.7 ends the worker. Valkey delivers the message again by itself, and the
        job store knows whether it is still needed.
        """
        messages = getattr(self, "task_consumer", None)  # it is not there before it takes messages
        if messages is not None:
            messages.channel.do_restore = False
        if isinstance(exc, CannotWrite):
            time.sleep(PAUSE_S)
        super().on_connection_error_after_connected(exc)


ALLOWED = frozenset(
    {
        *("ping", "hello", "clock", "conf", "report", "stats"),
        *("active", "active_queues", "query_task", "registered", "reserved", "revoked", "scheduled"),
        *("enable_events", "disable_events", "heartbeat"),
    }
)
"""Celery hides passwords in ``conf``; events tell of a job by its id alone, since a message holds nothing else."""


def refuse_commands_that_act() -> None:
    """Make this worker answer every other command as one that it does not know."""
    for name in Panel.data.keys() - ALLOWED:
        del Panel.data[name]
