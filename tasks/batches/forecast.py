"""The estimated cost of a plan, from what this service has measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.batches.batch import Forecast, Group, Plan
from tasks.jobs.index import JobIndex
from tasks.jobs.job import Measured
from tasks.lanes.worker_registry import WorkerRegistry


@dataclass(frozen=True)
class Forecasts:
    """Makes forecasts from what the workers have measured."""

    index: JobIndex
    workers: WorkerRegistry

    def of(self, plan: Plan) -> Forecast:
        """Return the forecast of a plan."""
        slugs = sorted({group.base_model for group in plan.groups})
        groups = {slug: [group for group in plan.groups if group.base_model == slug] for slug in slugs}
        device_s = {slug: seconds(self.index.measured(slug), groups[slug]) for slug in slugs}
        workers = {slug: len(self.workers.alive(slug)) for slug in slugs}
        known = [device_s[slug] is not None and workers[slug] > 0 for slug in slugs]
        return Forecast(
            lines=sum(group.lines for group in plan.groups),
            images=sum(group.images for group in plan.groups),
            swaps=sum(bool(group.adapters) for group in plan.groups),
            adapters=len(plan.adapters),
            adapter_bytes=sum(adapter.size_bytes or 0 for adapter in plan.adapters),
            device_s=total(device_s.values()),
            finish_s=max((device_s[slug] or 0) / workers[slug] for slug in slugs) if all(known) else None,
        )


def seconds(measured: Measured, groups: Iterable[Group]) -> float | None:
    """Seconds of drawing and swapping on one device; None where drawing was never measured."""
    if measured.pixel_step is None:
        return None
    return sum(group.pixel_steps * measured.pixel_step + (measured.swap or 0) for group in groups)


def total(values: Iterable[float | None]) -> float | None:
    """The sum, if all of it is known."""
    known = list(values)
    return None if None in known else round(sum(value or 0 for value in known), 3)
