"""Take part in a drawing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workers.run.runner import JobRunner


def on_step(runner: JobRunner, action: Callable[[], None]) -> None:
    """Do something at every step of the drawing."""
    pipeline = runner.stages.warm.base.pipeline
    scheduler_step = type(pipeline.scheduler).step

    class Watched(type(pipeline.scheduler)):  # type: ignore[misc]
        def step(self, *arguments: Any, **options: Any) -> Any:
            action()
            return scheduler_step(self, *arguments, **options)

    object.__setattr__(runner.stages.warm.base, "scheduler", Watched.from_config(pipeline.scheduler.config))
