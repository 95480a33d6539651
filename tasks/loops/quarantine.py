"""One record that raises holds up no other: it is counted, named in the log, and quarantined after some rounds.

A quarantined record is put back into its index when a process of loops starts: its version may understand the record.

    stokehold:failing:<index>:<member>   string  rounds in a row in which a step of this record raised; expires
    stokehold:quarantine                  hash    by index and member: its score, the time and the reason
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import cast

from pydantic import Field
from redis.exceptions import RedisError

from storage import StorageMisconfigured, StorageNotReachable
from tasks.errors import MachineFault, RecordNotUnderstood, ServiceUnavailable
from tasks.fields import Stored, read_all
from tasks.valkey import Valkey

logger = logging.getLogger(__name__)

QUARANTINE = "stokehold:quarantine"
MAX_FAILURES = 5
"""Rounds in a row after which a record that raises is quarantined."""
REMEMBER_S = 3600

NOT_RECORD_FAULTS = (
    *(ServiceUnavailable, StorageNotReachable, StorageMisconfigured, MachineFault),
    *(RedisError, OSError, MemoryError, sqlite3.OperationalError),
)
"""Errors of a server or of this machine, such as a full disk: every record would meet them, and none is counted."""


def is_record_fault(error: Exception) -> bool:
    """Return whether the record is at fault, so that others would not meet this error."""
    return isinstance(error, RecordNotUnderstood) or not isinstance(error, NOT_RECORD_FAULTS)


class QuarantinedRecord(Stored):
    """A record that was taken out of an index."""

    index: str
    member: str
    score: str = Field(description="its score there; empty in an index without order")
    at: float = Field(description="seconds since 1970")
    reason: str


class Quarantine:
    """Takes steps of records so that one which raises holds up no other."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._add = valkey.script("loops/quarantine")
        self._failing: set[str] = set()

    def attempt(self, index: str, member: str, step: Callable[[], object]) -> None:
        """Take a step of a record; after too many failures in a row it is taken out of its index.

        Raises:
            ServiceUnavailable, StorageNotReachable, OSError and so on: the record is not at fault.
        """
        self.attempt_or(index, member, step, lambda reason: self.add(index, member, reason))

    def attempt_or(
        self, index: str, member: str, step: Callable[[], object], give_up: Callable[[Exception], object]
    ) -> None:
        """As ``attempt``, with another treatment of a record that has failed too often."""
        try:
            step()
        except Exception as error:
            if not is_record_fault(error):
                raise
            failures = self._count(index, member)
            logger.exception("%s of %s raised, %d of %d times", member, index, failures, MAX_FAILURES)
            if failures >= MAX_FAILURES:
                give_up(error)
                self._clear(index, member)
        else:
            if failing_key(index, member) in self._failing:
                self._clear(index, member)

    def add(self, index: str, member: str, reason: Exception) -> None:
        """Take a record out of an index."""
        why = f"{type(reason).__name__}: {reason}"
        self._add(keys=[index, QUARANTINE], args=[member, f"{index} {member}", why])
        logger.error("%s is quarantined from %s: %s", member, index, why)

    def records(self) -> list[QuarantinedRecord]:
        """Return the quarantined records."""
        return read_all(QuarantinedRecord, cast(dict[str, str], self._valkey.hgetall(QUARANTINE)))

    def release_all(self) -> None:
        """Put every quarantined record back: it may be understood now."""
        for record in self.records():
            with self._valkey.pipeline() as pipeline:
                if record.score:
                    pipeline.zadd(record.index, {record.member: float(record.score)}, nx=True)
                else:
                    pipeline.sadd(record.index, record.member)
                pipeline.hdel(QUARANTINE, f"{record.index} {record.member}")
                pipeline.execute()
            logger.warning("%s is released into %s", record.member, record.index)

    def _count(self, index: str, member: str) -> int:
        key = failing_key(index, member)
        self._failing.add(key)
        with self._valkey.pipeline() as pipeline:
            pipeline.incr(key)
            pipeline.expire(key, REMEMBER_S)
            failures, _ = pipeline.execute()
        return int(failures)

    def _clear(self, index: str, member: str) -> None:
        key = failing_key(index, member)
        self._valkey.delete(key)
        self._failing.discard(key)


def failing_key(index: str, member: str) -> str:
    """Return the key under which the failures of a record are counted."""
    return f"stokehold:failing:{index}:{member}"
