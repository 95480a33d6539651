"""The durability of accepted requests, and the check that the server keeps its data.

stokehold:accepted   string  written after the accepted records: where it is safe, all of them are
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from tasks.errors import ConfigurationError, ValkeyUnavailable
from tasks.settings import AcceptedWhen
from tasks.valkey import Valkey

logger = logging.getLogger(__name__)

MARK = "stokehold:accepted"
WITHIN_MS = 1500
"""Seconds, fewer than the timeout of the connection; ``appendfsync everysec`` takes up to a second."""


class Durability:
    """Waits until accepted records are as safe as the settings require."""

    def __init__(self, valkey: Valkey, wanted: AcceptedWhen) -> None:
        self._valkey = valkey
        self._wanted = wanted

    def confirm(self) -> None:
        """Wait until everything that was recorded before is where the settings require it.

        Raises:
            ValkeyUnavailable: it is not there in time; what was recorded stays recorded.
        """
        if self._wanted is AcceptedWhen.RECORDED:
            return
        with self._valkey.pipeline(transaction=False) as pipeline:
            pipeline.set(MARK, "")
            pipeline.execute_command(*waiting_command(self._wanted))
            _, there = pipeline.execute()
        if not (there[0] if isinstance(there, list) else there):
            raise ValkeyUnavailable(
                "The request is recorded, and not yet where a loss of power leaves it. "
                "Send it again with the same Idempotency-Key."
            )

    def check_server(self) -> None:
        """Refuse a server that would forget jobs, and warn of one that may.

        Raises:
            ConfigurationError: it evicts keys, is a cluster, or cannot do what the settings require.
            ValkeyUnavailable: it does not answer.
        """
        try:
            told: Mapping[str, Any] = self._valkey.info()
        except NoPermissionError:
            logger.warning("Valkey does not say how it keeps what it is given (INFO is not permitted); check it.")
            return
        check_policy(told)
        try:
            if self._wanted is not AcceptedWhen.RECORDED:
                self._valkey.execute_command(*waiting_command(self._wanted))
        except ResponseError as error:
            raise ConfigurationError(
                f"STOKEHOLD_ACCEPTED_WHEN={self._wanted} is not available on this server ({error}). It needs Valkey, "
                "or Redis 7.2 or later, with appendonly yes."
            ) from error


def waiting_command(wanted: AcceptedWhen) -> tuple[str | int, ...]:
    """Return the command that waits until the writes of this connection are safe; its reply is the number of copies."""
    return ("WAITAOF", 1, 0, WITHIN_MS) if wanted is AcceptedWhen.ON_DISK else ("WAIT", 1, WITHIN_MS)


def check_policy(told: Mapping[str, Any]) -> None:
    """Check the policy that a server reports.

    Raises:
        ConfigurationError: it evicts keys, or is a cluster.
    """
    policy = told.get("maxmemory_policy")
    if policy is None:
        logger.warning("Valkey does not say whether it evicts keys. It must not: maxmemory-policy noeviction.")
    elif policy != "noeviction":
        raise ConfigurationError(
            f"Valkey evicts keys when its memory is full (maxmemory-policy {policy}), and accepted jobs with them. "
            "Set maxmemory-policy noeviction."
        )
    if told.get("cluster_enabled"):
        raise ConfigurationError("Valkey is a cluster. Set STOKEHOLD_VALKEY_URL to a server that has all keys.")
    if not told.get("aof_enabled") and not told.get("connected_slaves"):
        logger.warning(
            "Valkey keeps accepted jobs in memory alone: it has no append-only file and no replica. "
            "Set appendonly yes (docs/durability.md)."
        )
