"""The seconds that each stage of a job took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from tasks.job import SwapWay, Timings


class Stage(StrEnum):
    """A timed stage, named as in a job's record."""

    QUEUED = "queued"
    ADAPTER = "adapter"
    SWAP = "swap"
    DRAW = "draw"
    PUBLISH = "publish"


class Stopwatch:
    """Collects a job's timings."""

    def __init__(self, queued_s: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[Stage, float] = {Stage.QUEUED: queued_s}
        self.swap_way: SwapWay | None = None

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Note how long the body takes, also when it raises."""
        start = self._clock()
        try:
            yield
        finally:
            self._seconds[stage] = self._clock() - start

    @property
    def timings(self) -> Timings:
        """What has been measured so far."""
        return Timings.model_validate({**self._seconds, "swap_way": self.swap_way})
