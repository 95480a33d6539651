"""Adapters of which something had no effect are told of in a job's record."""

from __future__ import annotations

import pytest

from tasks.jobs.result import AdapterReceipt
from tests.support.jobs import PIN, SCALED, SPEC
from workers.run.adapter_warnings import adapter_warnings


def warnings(receipt: AdapterReceipt, scale: float = 1.0) -> list[str]:
    adapters = (SCALED.model_copy(update={"scale": scale}),)
    return list(adapter_warnings([receipt], SPEC.model_copy(update={"adapters": adapters})))


def receipt(**facts: object) -> AdapterReceipt:
    return AdapterReceipt.model_validate({"ref": PIN.ref, "matched": 8, "relative_change": 0.5, **facts})


def test_an_adapter_that_was_used_to_its_last_tensor_is_not_mentioned() -> None:
    assert warnings(receipt()) == []


@pytest.mark.parametrize(("count", "many"), [(1, "1 tensor"), (30, "30 tensors")])
def test_tensors_without_effect_are_counted_and_the_first_is_named_with_the_reason(count: int, many: str) -> None:
    found = warnings(receipt(unmatched={"a.b": "it is lost", "a.c": "it is lost"}, unmatched_count=count))

    assert found == [f"Of adapter {PIN.ref!r} {many} had no effect, such as a.b: it is lost."]


@pytest.mark.parametrize(("scale", "said"), [(1.0, 1), (0.0, 0)])
def test_an_adapter_of_zeros_is_told_of_unless_zero_was_asked_for(scale: float, said: int) -> None:
    found = warnings(receipt(relative_change=0.0), scale)

    assert [sentence for sentence in found if "all that it adds is zero" in sentence] == found
    assert len(found) == said
