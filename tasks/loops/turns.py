"""Work for several owners, one of which may have much: each has a thread for its turn, and none waits for another.

A round only begins work. So a file of a million lines, or a model hub that answers slowly, delays the work
of its owner alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from storage import StorageError
from tasks.errors import ServiceUnavailable
from tasks.loops.loop import end_process, join

logger = logging.getLogger(__name__)

AT_ONCE = 4
MAX_S = 3600
"""The most seconds that a turn takes when all is well: a million lines are planned in a few minutes."""

Work = Callable[[], None]


@dataclass(frozen=True)
class Turn:
    """Work of an owner that is under way."""

    thread: threading.Thread
    begun: float


class Turns:
    """Gives owners their turns: a few at once, one for each, first those that had none for the longest time.

    Args:
        name: of the work, for threads and messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._turns: dict[str, Turn] = {}
        self._latest: dict[str, float] = {}

    def begin(self, works: Mapping[str, Work]) -> None:
        """Begin the work of as many owners as have a turn now."""
        self._end_turns()
        waiting = [owner for owner in works if owner not in self._turns]
        self._latest = {owner: self._latest.get(owner, 0.0) for owner in works}
        for owner in sorted(waiting, key=self._latest.__getitem__)[: AT_ONCE - len(self._turns)]:
            self._begin(owner, works[owner])

    def join(self, seconds: float) -> None:
        """Wait for the turns that are under way."""
        join([turn.thread for turn in self._turns.values()], seconds)

    def _begin(self, owner: str, work: Work) -> None:
        thread = threading.Thread(target=guarded, args=(self._name, work), name=f"{self._name} {owner}", daemon=True)
        self._latest[owner] = time.monotonic()
        self._turns[owner] = Turn(thread, self._latest[owner])
        thread.start()

    def _end_turns(self) -> None:
        for owner, turn in tuple(self._turns.items()):
            if not turn.thread.is_alive():
                del self._turns[owner]
            elif time.monotonic() - turn.begun > MAX_S:
                end_process(f"{self._name} of {owner or 'no owner'} takes longer than {MAX_S} s")


def guarded(name: str, work: Work) -> None:
    """Do the work of a turn; what it raises is logged, and its owner's next turn comes."""
    try:
        work()
    except (ServiceUnavailable, StorageError) as error:
        logger.warning("%s waits for a server: %s", name, error)
    except Exception:
        logger.exception("%s failed; it is tried again", name)
