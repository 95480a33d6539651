"""The samplers that a request may ask for."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType

import diffusers

from tasks.base_models.registry import Scheduler
from tasks.requests.schedulers import CLASS_NAMES

CLASSES: Mapping[Scheduler, type[diffusers.SchedulerMixin]] = MappingProxyType(
    {scheduler: getattr(diffusers, name) for name, scheduler in CLASS_NAMES.items()}
)


def fresh_scheduler(own: diffusers.SchedulerMixin, wanted: Scheduler | None) -> diffusers.SchedulerMixin:
    """A new scheduler with the model's own configuration: one that has run carries state into the next job.

    Args:
        own: the scheduler that came with the model, which never runs itself.
        wanted: the class to use, or None for the model's own.
    """
    return copy.deepcopy(own) if wanted is None else CLASSES[wanted].from_config(own.config)
