"""The time of each loop's latest round, so that a loop that has died or hangs is noticed.

stokehold:rounds   hash   by loop: when it last finished a round, and in which process, as JSON
stokehold:probe    string  is written to check that the server takes writes
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.valkey import Valkey

ROUNDS = "stokehold:rounds"
PROBE = "stokehold:probe"

HOUSEKEEPING, LIGHT_WORKER, WEBHOOKS = "housekeeping", "light-worker", "webhooks"

LOOPS: Mapping[str, Mapping[str, float]] = {
    HOUSEKEEPING: {"leases": 15, "deadlines": 15, "unsent": 15, "lost-messages": 15},
    LIGHT_WORKER: {
        **{"planning": 15, "batches": 15, "images": 120},
        **{"unrecorded-objects": 120, "expired-batches": 600, "expired-jobs": 120},
        **{"adapter-headers": 30},
    },
    WEBHOOKS: {"webhooks": 120},
}
"""By process: its loops, and the most seconds that a round of each takes when all is well."""

PERIODS = 3
"""A loop is overdue when its round is, and this many more could have begun since."""


class Round(BaseModel):
    """The latest round of a loop."""

    model_config = ConfigDict(frozen=True)

    at: float = Field(description="when it was finished, in seconds since 1970")
    process: str = Field(description="`<pid>@<host>`")


class LoopAge(BaseModel):
    """The age of the last finished round of a loop."""

    model_config = ConfigDict(frozen=True)

    loop: str
    age_s: float | None = Field(description="seconds since its last finished round; null where there was none")
    overdue: bool = Field(description="whether that is too long: the loop has died, hangs or fails")


def this_process() -> str:
    """The name of this process among the rounds."""
    return f"{os.getpid()}@{socket.gethostname()}"


class Rounds:
    """The latest round of each loop.

    Args:
        valkey: where they are noted.
        period_s: seconds between two rounds of a loop.
    """

    def __init__(self, valkey: Valkey, *, period_s: float) -> None:
        self._valkey = valkey
        self._period_s = period_s
        self._begin = time.monotonic()

    def finished(self, loop: str) -> None:
        """Note that this process has finished a round of a loop."""
        note = Round(at=self._valkey.now(), process=this_process())
        self._valkey.hset(ROUNDS, loop, note.model_dump_json())

    def probe(self) -> None:
        """Check that the server takes writes.

        Raises:
            ValkeyUnavailable: the server does not answer, or takes no writes.
        """
        self._valkey.set(PROBE, "", ex=60)

    def latest(self) -> dict[str, Round]:
        """The latest round of each loop that has finished one."""
        notes = cast(dict[str, str], self._valkey.hgetall(ROUNDS))
        return {loop: found for loop, text in notes.items() if (found := parsed(text))}

    def ages(self, process: str | None = None) -> tuple[LoopAge, ...]:
        """Return the ages of the loops of a process, or of all."""
        latest, now = self.latest(), self._valkey.now()
        wanted = LOOPS.values() if process is None else [LOOPS[process]]
        return tuple(self._age(loop, max_s, latest.get(loop), now) for loops in wanted for loop, max_s in loops.items())

    def _age(self, loop: str, max_s: float, latest: Round | None, now: float) -> LoopAge:
        """Without any round a loop is as late as this process is old: the whole service may just be starting."""
        age_s = None if latest is None else max(0.0, now - latest.at)
        silent_s = time.monotonic() - self._begin if age_s is None else age_s
        overdue = silent_s > max_s + PERIODS * self._period_s
        return LoopAge(loop=loop, age_s=None if age_s is None else round(age_s, 1), overdue=overdue)


def parsed(text: str) -> Round | None:
    """A note; None for one that cannot be read, which the next round replaces."""
    try:
        return Round.model_validate_json(text)
    except ValidationError:
        return None
