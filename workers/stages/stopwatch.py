"""The seconds that each stage of a job took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum

from tasks.jobs.result import SwapWay, Timings


class Stage(StrEnum):
    """A timed stage, named as in a job's record."""

    QUEUED = "queued"
    ADAPTER = "adapter"
    SWAP = "swap"
    DRAW = "draw"
    PUBLISH = "publish"


class Stopwatch:
    """Collects a job's timings."""

    def __init__(self, queued_s: float = 0, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[Stage, float] = {Stage.QUEUED: queued_s}
        self._paused_s = 0.0
        self.swap_way: SwapWay | None = None

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Measure the body without its pauses, even if it raises."""
        start, paused = self._clock(), self._paused_s
        try:
            yield
        finally:
            self._seconds[stage] = self._clock() - start - (self._paused_s - paused)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Exclude the body from the present measurement."""
        start = self._clock()
        try:
            yield
        finally:
            self._paused_s += self._clock() - start

    def share(self, stopwatches: Sequence[Stopwatch]) -> None:
        """Divide the measured times among jobs that were drawn in one pass; the swap is the first one's."""
        for stopwatch in stopwatches:
            is_first = stopwatch is stopwatches[0]
            for stage in (Stage.ADAPTER, Stage.SWAP):
                stopwatch._seconds[stage] = self._seconds[stage] if is_first else 0
            stopwatch._seconds[Stage.DRAW] = self._seconds[Stage.DRAW] / len(stopwatches)
            stopwatch.swap_way = self.swap_way if is_first else SwapWay.KEPT

    @property
    def timings(self) -> Timings:
        """Return the times measured so far."""
        return Timings.model_validate({**self._seconds, "swap_way": self.swap_way})
