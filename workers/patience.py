"""Wait for storage that is away, while the lease of the job lasts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from storage import StorageNotReachable

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0

Result = TypeVar("Result")
Pause = Callable[[float], None]
"""Waits so many seconds; what it raises ends the waiting for good."""


class Patience:
    """How long one job waits for storage, in one of its stages.

    Args:
        seconds: the bound.
        pause: waits between two tries, and notices meanwhile that there is no reason to go on.
    """

    def __init__(self, seconds: float, pause: Pause, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline = clock() + seconds
        self._pause = pause
        self._clock = clock

    def insist(self, step: Callable[[], Result]) -> Result:
        """Take a step that needs storage, again and again while storage is away.

        Raises:
            StorageError: storage refuses, or is away for longer than the bound.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return step()
            except StorageNotReachable as error:
                if self._clock() + pause_s > self._deadline:
                    raise
                logger.warning("storage is away, it is tried again in %g s: %s", pause_s, error)
            self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
