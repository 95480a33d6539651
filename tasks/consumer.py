"""What a Celery worker takes messages with."""

from __future__ import annotations

from celery.worker import consumer


class Consumer(consumer.Consumer):
    """Celery's own, which outlives a broker that goes away while a message is being acknowledged."""

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the lost connection, and leave what is not acknowledged where it lies.

        kombu 5.7 would put it back through that connection. Where a second channel is closed first, this ends in an
        ``AttributeError``, on which Celery 5.7 ends the worker. Valkey delivers the message again by itself, and the
        job store knows whether it is still needed.
        """
        messages = getattr(self, "task_consumer", None)  # it is not there before it takes messages
        if messages is not None:
            messages.channel.do_restore = False
        super().on_connection_error_after_connected(exc)
