"""Schedulers by the names of diffusers' classes."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.base_models.registry import Scheduler
from tasks.requests.schedulers import CLASS_NAMES, SchedulerName

FIELD: TypeAdapter[Scheduler] = TypeAdapter(SchedulerName)


@pytest.mark.torch
@pytest.mark.filterwarnings("default")  # diffusers warns of others
def test_the_names_are_those_of_the_classes_that_workers_use() -> None:
    from workers.base.schedulers import CLASSES

    assert {scheduler_class.__name__: scheduler for scheduler, scheduler_class in CLASSES.items()} == CLASS_NAMES


def test_both_spellings_mean_the_same() -> None:
    for name, scheduler in CLASS_NAMES.items():
        assert FIELD.validate_python(name) is FIELD.validate_python(str(scheduler)) is scheduler


@pytest.mark.parametrize("name", ["LMSDiscreteScheduler", "", 5, None, ["euler"]])
def test_an_unknown_name_hears_of_those_known(name: object) -> None:
    with pytest.raises(ValidationError, match=r"known are ddim, .*UniPCMultistepScheduler"):
        FIELD.validate_python(name)
