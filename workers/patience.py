"""Wait for storage that is away, while the lease of the job lasts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from storage import StorageError, StorageMisconfigured, StorageNotReachable

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
REFUSED_S = 15.0
"""How long a refusal of this worker's key or bucket is waited for: a policy that is being changed, and no longer, since
another worker may have a key that is good."""

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
        self._begin = clock()
        self._seconds = seconds
        self._pause = pause
        self._clock = clock

    def insist(self, step: Callable[[], Result]) -> Result:
        """Take a step that needs storage, again and again while storage is unavailable, a while if it refuses.

        Raises:
            StorageError: storage refuses, or is unavailable for longer than the bound.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return step()
            except (StorageNotReachable, StorageMisconfigured) as error:
                if self._clock() + pause_s > self._deadline(error):
                    raise
                logger.warning("storage does not serve this worker, it is tried again in %g s: %s", pause_s, error)
            self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _deadline(self, error: StorageError) -> float:
        is_refusal = isinstance(error, StorageMisconfigured)
        return self._begin + (min(self._seconds, REFUSED_S) if is_refusal else self._seconds)
