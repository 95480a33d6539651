"""A request is completed and checked against the base model's limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base_models.registry import Scheduler
from tasks.client_jobs.specification import check_limits, complete
from tasks.errors import InvalidRequest
from tasks.fields import ImageFormat
from tasks.jobs.job import JobSpec
from tasks.requests.job import MAX_SEED, JobRequest
from tests.support.base_models import served_model

MODEL = served_model("demo", "demo/base")


def completed(**request: Any) -> JobSpec:
    wanted = JobRequest.model_validate({"prompt": "a red circle", **request})
    return complete(wanted, MODEL, (), random_seed=lambda _: 42, image_format=ImageFormat.PNG)


def test_the_base_models_defaults_fill_the_gaps() -> None:
    spec = completed()

    assert (spec.width, spec.height, spec.steps, spec.guidance_scale) == (64, 64, 20, 3.0)
    assert (spec.seed, spec.image_count, spec.scheduler) == (42, 1, None)


def test_what_the_request_says_stands() -> None:
    spec = completed(width=96, height=32, steps=5, guidance_scale=0, seed=7, images=3, scheduler="euler")

    assert (spec.width, spec.height, spec.steps, spec.guidance_scale) == (96, 32, 5, 0)
    assert (spec.seed, spec.image_count, spec.scheduler) == (7, 3, Scheduler.EULER)


@pytest.mark.parametrize(
    ("request_field", "value", "message"),
    [
        ("width", 48 + 1, "multiple of 16; it is 49"),
        ("width", 16, "from 32 to 128"),
        ("height", 256, "from 32 to 128"),
        ("steps", 500, "at most 100 steps"),
    ],
)
def test_what_the_base_cannot_draw_is_refused_by_field(request_field: str, value: int, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        completed(**{request_field: value})

    assert caught.value.field == request_field


def test_to_skip_no_layer_is_the_same_as_to_leave_the_field_out() -> None:
    assert completed(clip_skip=0) == completed()


def test_an_earlier_job_is_not_drawn_again_on_a_base_that_skips_fewer_layers_by_now() -> None:
    with pytest.raises(InvalidRequest, match="takes no clip_skip") as caught:
        check_limits(completed().model_copy(update={"clip_skip": 1}), MODEL)

    assert caught.value.field == "clip_skip"


@given(images=st.integers(1, 8), share=st.floats(0, 1, exclude_max=True))
def test_no_seed_chosen_at_random_leaves_json_numbers(images: int, share: float) -> None:
    request = JobRequest(prompt="a red circle", images=images)

    spec = complete(request, MODEL, (), random_seed=lambda below: int(share * below), image_format=ImageFormat.PNG)

    assert spec.seed >= 0
    assert spec.seed + images - 1 <= MAX_SEED
