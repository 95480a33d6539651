"""kombu's transport for Valkey and Redis. Neither a foreign message nor a server that is full ends a worker."""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError

logger = logging.getLogger(__name__)

NOT_A_MESSAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What kombu 5.7 and Celery 5.7 raise for a message that is not JSON, or not of the shape that they expect; Celery then
ends the worker."""

CANNOT_WRITE = (OutOfMemoryError, ReadOnlyError)
"""What a server answers that is full, or a replica. kombu 5.7 notes each message that it takes, and counts these among
the errors of a channel, on which Celery 5.7 ends the worker; connection errors are waited for."""


class Channel(redis.Channel):
    """Drops such a message."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # its stubs lack it
        except NOT_A_MESSAGE as error:
            logger.error("a message is dropped that is not one of this service: %s", type(error).__name__)
            return True


class Transport(redis.Transport):
    """Reads messages through such channels."""

    Channel = Channel

    connection_errors = (*redis.Transport.connection_errors, *CANNOT_WRITE)


def install() -> None:
    """Let ``redis://`` and ``rediss://`` lead here, in this process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
