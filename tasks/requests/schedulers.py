"""The schedulers under the names that clients of diffusers and of the Hub write."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from tasks.base_models.registry import Scheduler

CLASS_NAMES: Mapping[str, Scheduler] = MappingProxyType(
    {
        "DDIMScheduler": Scheduler.DDIM,
        "DPMSolverMultistepScheduler": Scheduler.DPM_SOLVER,
        "EulerAncestralDiscreteScheduler": Scheduler.EULER_ANCESTRAL,
        "EulerDiscreteScheduler": Scheduler.EULER,
        "UniPCMultistepScheduler": Scheduler.UNIPC,
    }
)
"""The names of diffusers' classes."""

KNOWN = (*Scheduler, *CLASS_NAMES)


def scheduler_named(name: object) -> Scheduler:
    """The scheduler of a short name or of a class name.

    Raises:
        PydanticCustomError: it is neither; the message lists both.
    """
    if not isinstance(name, str) or name not in KNOWN:
        raise PydanticCustomError("scheduler", "Unknown scheduler; known are {known}", {"known": ", ".join(KNOWN)})
    return CLASS_NAMES.get(name) or Scheduler(name)


SchedulerName = Annotated[
    Scheduler, BeforeValidator(scheduler_named), WithJsonSchema({"type": "string", "enum": list(KNOWN)})
]
"""A field that takes both spellings."""
