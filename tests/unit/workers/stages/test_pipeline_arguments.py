"""Every field of a specification reaches the pipeline, or does something else that is named here."""

from __future__ import annotations

import pytest

from tasks.jobs.job import JobSpec
from tests.support.jobs import OTHER_SPEC, SPEC
from workers.stages.draw import pipeline_arguments

pytestmark = pytest.mark.torch

ELSEWHERE = {
    "base_model": "the worker's own",
    "adapters": "are merged into the weights",
    "scheduler": "is put on the pipeline",
    "seed": "makes the generator",
    "image_count": "is the number of passes",
    "image_format": "encodes what was drawn",
}


@pytest.mark.parametrize("name", JobSpec.model_fields)
def test_a_field_changes_what_the_pipeline_is_asked_for(name: str) -> None:
    other = SPEC.model_copy(update={name: OTHER_SPEC[name]})

    assert (pipeline_arguments([other]) == pipeline_arguments([SPEC])) is (name in ELSEWHERE)


def test_a_pass_takes_the_prompts_of_each_job() -> None:
    jobs = [SPEC.model_copy(update={"prompt": text, "negative_prompt": f"no {text}"}) for text in ("a", "b")]

    arguments = pipeline_arguments(jobs)

    assert arguments["prompt"] == ["a", "b"]
    assert arguments["negative_prompt"] == ["no a", "no b"]
