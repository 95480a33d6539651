"""Which base model a request gets."""

from __future__ import annotations

import pytest

from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.adapters.lookup.resolver import choose_base_model
from tasks.errors import BaseModelNotServed, InvalidRequest
from tests.support.base_models import DEMO_AND_SDXL


def adapter(name: str, base_model: str) -> ResolvedAdapter:
    return ResolvedAdapter(
        ref=name,
        source=AdapterSource.FOLDER,
        repository=name,
        commit="0" * 64,
        weight_name=f"{name}.safetensors",
        base_model=base_model,
    )


PIXEL = adapter("pixel", "demo")
NEON = adapter("neon", "demo")
FILM = adapter("film", "sdxl")


@pytest.mark.parametrize(
    ("requested", "adapters", "expected"),
    [
        (None, [], "demo"),
        (None, [FILM], "sdxl"),
        (None, [PIXEL, NEON], "demo"),
        ("sdxl", [], "sdxl"),
        ("StabilityAI/stable-diffusion-xl-base-1.0", [], "sdxl"),
        ("stokehold/demo", [PIXEL], "demo"),
    ],
)
def test_the_adapters_decide_then_the_request_then_the_order_of_the_models_file(
    requested: str | None, adapters: list[ResolvedAdapter], expected: str
) -> None:
    assert choose_base_model(requested, adapters, DEMO_AND_SDXL).slug == expected


def test_adapters_of_two_base_models_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="pixel for demo, film for sdxl") as refused:
        choose_base_model(None, [PIXEL, FILM], DEMO_AND_SDXL)

    assert refused.value.field == "adapters"


def test_a_request_that_contradicts_its_adapters_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="made for base model 'demo', not for 'sdxl'") as refused:
        choose_base_model("sdxl", [PIXEL], DEMO_AND_SDXL)

    assert refused.value.field == "base_model"


def test_a_base_model_that_is_not_served_is_refused_with_those_that_are() -> None:
    with pytest.raises(BaseModelNotServed, match="Choose one of: demo, sdxl") as refused:
        choose_base_model("flux", [], DEMO_AND_SDXL)

    assert refused.value.field == "base_model"
