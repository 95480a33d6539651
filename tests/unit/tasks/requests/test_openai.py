"""OpenAI's body: whatever is accepted becomes a job request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.requests.job import MAX_ADAPTERS, MAX_SIDE
from tasks.requests.named_model import NamedModel, named
from tasks.requests.openai import ImagesRequest, job_request
from tests.support.base_models import DEMO_AND_SDXL

sides = st.integers(0, 99_999)
adapters = st.lists(st.just({"ref": "pixel"}), max_size=MAX_ADAPTERS + 1)
bodies = st.fixed_dictionaries(
    {"prompt": st.text()},
    optional={
        "model": st.none() | st.sampled_from(["demo", "pixel", "ada/pixel"]) | st.text(),
        "n": st.none() | st.integers(),
        "size": st.none() | st.just("auto") | st.builds("{}x{}".format, sides, sides) | st.text(),
        "adapters": st.none() | adapters,
        "seed": st.none() | st.integers(),
        "steps": st.none() | st.integers(),
    },
)


@given(bodies)
def test_what_this_door_accepts_is_a_job_request(body: dict[str, object]) -> None:
    try:
        accepted = ImagesRequest.model_validate(body)
    except ValidationError:
        return
    model = NamedModel() if accepted.model is None else named(DEMO_AND_SDXL, accepted.model)

    request = job_request(model, accepted)

    assert request.images == (accepted.n or 1)
    assert len(request.adapters) <= MAX_ADAPTERS


@given(sides, sides)
def test_a_size_is_two_sides_or_refused(width: int, height: int) -> None:
    try:
        sides = ImagesRequest(prompt="elephant", size=f"{width}x{height}").sides
    except ValidationError:
        assert not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE)
    else:
        assert sides == (width, height)


def test_auto_leaves_the_size_to_the_base_model() -> None:
    assert ImagesRequest(prompt="elephant", size="auto").sides == (None, None)
