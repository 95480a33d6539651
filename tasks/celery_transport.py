"""kombu's transport for Valkey and Redis. Neither a foreign message nor a server that is full ends a worker."""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tasks.valkey import may_serve_later

logger = logging.getLogger(__name__)

NOT_A_MESSAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""Exceptions of kombu 5.7 and Celery 5.7 for a message that is not JSON or not of the expected shape; Celery then ends
the worker."""


class CannotWrite(RedisConnectionError):
    """The server is full, cannot write its disk, or is a replica.

    kombu 5.7 notes each message that it takes, and counts a refusal of that among the errors of a channel, on which
    Celery 5.7 ends the worker; connection errors are waited for.
    """


class Patient:
    """A connection that counts as lost while the server cannot write."""

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Return the next reply.

        Raises:
            CannotWrite: the server cannot write.
        """
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        except ResponseError as error:
            if may_serve_later(error):
                raise CannotWrite(str(error)) from error
            raise


class PatientConnection(Patient, Connection):
    """The connection of ``redis://``."""


class PatientSSLConnection(Patient, SSLConnection):
    """The connection of ``rediss://``."""


class Channel(redis.Channel):
    """A channel that drops messages which raise."""

    connection_class = PatientConnection
    connection_class_ssl = PatientSSLConnection

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # its stubs lack it
        except NOT_A_MESSAGE as error:
            logger.error("dropped a message that does not belong to this service: %s", type(error).__name__)
            return True


class Transport(redis.Transport):
    """Reads messages through such channels."""

    Channel = Channel


def install() -> None:
    """Use this transport for ``redis://`` and ``rediss://`` in this process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
