"""The samplers that a request may ask for."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)

from tasks.base_models.registry import Scheduler

CLASSES: Mapping[Scheduler, type[SchedulerMixin]] = MappingProxyType(
    {
        Scheduler.DDIM: DDIMScheduler,
        Scheduler.DPM_SOLVER: DPMSolverMultistepScheduler,
        Scheduler.EULER: EulerDiscreteScheduler,
        Scheduler.EULER_ANCESTRAL: EulerAncestralDiscreteScheduler,
        Scheduler.UNIPC: UniPCMultistepScheduler,
    }
)


def fresh_scheduler(own: SchedulerMixin, wanted: Scheduler | None) -> SchedulerMixin:
    """A new scheduler with the model's own configuration: one that has run carries state into the next job.

    Args:
        own: the scheduler that came with the model, which never runs itself.
        wanted: the class to use, or None for the model's own.
    """
    return copy.deepcopy(own) if wanted is None else CLASSES[wanted].from_config(own.config)
