"""What a plan will take, from what this service has measured."""

from __future__ import annotations

from tasks.batch import Forecast, Plan
from tasks.batch_plan import Planner
from tasks.service import Service


def forecast(service: Service, planner: Planner, plan: Plan) -> Forecast:
    """The forecast of a plan."""
    swaps = len(plan.groups)
    device_s: float | None = 0.0
    finish_s: float | None = 0.0
    for slug in {group.base_model for group in plan.groups}:
        lines = sum(group.lines for group in plan.groups if group.base_model == slug)
        pace_s, workers = service.store.pace_s(slug), len(service.workers.alive(slug))
        device_s = None if device_s is None or pace_s is None else device_s + lines * pace_s
        if pace_s is None or not workers or finish_s is None:
            finish_s = None
        else:
            finish_s = max(finish_s, lines * pace_s / workers)
    return Forecast(
        lines=planner.lines,
        images=planner.images,
        swaps=swaps,
        adapters=len(plan.adapters),
        adapter_bytes=sum(adapter.size_bytes or 0 for adapter in plan.adapters),
        device_s=device_s,
        finish_s=finish_s,
    )
