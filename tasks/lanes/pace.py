"""The measured pace at which the workers of a base model get through its queue."""

from __future__ import annotations

import time
from collections.abc import Callable

from tasks.jobs.index import JobIndex
from tasks.lanes.worker_registry import WorkerRegistry

REMEMBERED_S = 1.0
"""Seconds for which a pace is cached: it changes over many jobs, and every poll of a queued job reads it."""


class Pace:
    """Estimates from the seconds that the latest jobs held the device, and from the workers alive."""

    def __init__(self, index: JobIndex, workers: WorkerRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._index = index
        self._workers = workers
        self._clock = clock
        self._remembered: dict[str, tuple[float, float | None]] = {}

    def eta_s(self, slug: str, position: int) -> float | None:
        """Seconds until a queued job with this many before it has its images; None while nothing is known.

        Jobs that the workers have begun are not counted: only the workers know their progress.
        """
        seconds_a_job = self.seconds_a_job(slug)
        return None if seconds_a_job is None else round((position + 1) * seconds_a_job, 1)

    def seconds_a_job(self, slug: str) -> float | None:
        """Seconds between two jobs that leave the queue; None before the first job or without workers."""
        noted_at, seconds = self._remembered.get(slug, (float("-inf"), None))
        if self._clock() - noted_at >= REMEMBERED_S:
            seconds = self._measure(slug)
            self._remembered[slug] = (self._clock(), seconds)
        return seconds

    def _measure(self, slug: str) -> float | None:
        job_s, workers = self._index.measured(slug).job, len(self._workers.healthy(slug))
        return job_s / workers if job_s is not None and workers else None
