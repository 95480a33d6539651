"""The body of ``POST /models/<model>``, as the Hub's Inference API has it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool
from pydantic_core import PydanticCustomError

from tasks.fields import JSON_NUMBER
from tasks.requests.job import GuidanceScale, Prompt, Seed, Side, Steps
from tasks.requests.schedulers import SchedulerName


def require_one(images: int) -> int:
    """Check that one picture is asked for.

    Raises:
        PydanticCustomError: it is another number.
    """
    if images != 1:
        raise PydanticCustomError("images", "The answer is one picture; POST /v1/jobs draws several")
    return images


class InferenceParameters(BaseModel):
    """How to draw. What is left out comes from the base model's defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    negative_prompt: Prompt | None = None
    height: Side | None = Field(None, description="pixels")
    width: Side | None = Field(None, description="pixels")
    num_inference_steps: Steps | None = None
    guidance_scale: GuidanceScale | None = None
    scheduler: SchedulerName | None = Field(None, description="a short name, or a class of diffusers")
    seed: Seed | None = Field(None, description="left out: drawn by lot; the header `x-seed` tells it")
    num_images_per_prompt: Annotated[int, AfterValidator(require_one), JSON_NUMBER] = Field(
        1, json_schema_extra={"const": 1}
    )


class InferenceOptions(BaseModel):
    """Taken because clients send them: every request is drawn afresh, and every one waits for its model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    use_cache: StrictBool | None = None
    wait_for_model: StrictBool | None = None


class InferenceRequest(BaseModel):
    """What to draw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: Prompt = Field(min_length=1, description="the prompt", examples=["a red circle on a blue background"])
    parameters: InferenceParameters | None = None
    options: InferenceOptions | None = None
