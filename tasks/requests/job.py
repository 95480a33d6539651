"""Requests of clients: the body of ``POST /v1/jobs``, bounded in every field."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tasks.adapters.file.reference import MAX_REFERENCE_CHARACTERS
from tasks.base_models.registry import Scheduler
from tasks.fields import JSON_NUMBER, ImageFormat

MAX_PROMPT_CHARACTERS = 2000
# The largest whole number that JSON carries exactly through every language.
MAX_SEED = 2**53 - 1
MAX_DEADLINE_S = 30 * 86_400
MAX_SIDE = 8192
MAX_IMAGES = 8
MAX_ADAPTERS = 8
MAX_CLIP_SKIP = 31

Prompt = Annotated[str, StringConstraints(max_length=MAX_PROMPT_CHARACTERS)]
Side = Annotated[int, Field(gt=0, le=MAX_SIDE), JSON_NUMBER]
Steps = Annotated[int, Field(gt=0, le=1000), JSON_NUMBER]
GuidanceScale = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), JSON_NUMBER]
ClipSkip = Annotated[int, Field(ge=0, le=MAX_CLIP_SKIP), JSON_NUMBER]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED), JSON_NUMBER]
ImageCount = Annotated[int, Field(ge=1, le=MAX_IMAGES), JSON_NUMBER]
Scale = Annotated[float, Field(ge=-4, le=4, allow_inf_nan=False), JSON_NUMBER]
Deadline = Annotated[float, Field(gt=0, le=MAX_DEADLINE_S, allow_inf_nan=False), JSON_NUMBER]


class AdapterRequest(BaseModel):
    """One adapter of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ref: str = Field(
        min_length=1,
        max_length=MAX_REFERENCE_CHARACTERS,
        description="`owner/name[@revision][:weight_name]` on the Hub, or a name of the catalogue",
        examples=["pixel"],
    )
    scale: Scale | None = Field(
        None,
        description="strength of the adapter; by default 1, or what its entry in the catalogue says",
    )


class JobRequest(BaseModel):
    """A request for images. What is left out comes from the base model's defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Prompt = Field(min_length=1, examples=["a red circle on a blue background"])
    negative_prompt: Prompt | None = None
    adapters: tuple[AdapterRequest, ...] = Field((), max_length=MAX_ADAPTERS)
    base_model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="by default the one that the adapters need, or the first one served",
    )
    width: Side | None = Field(None, description="pixels")
    height: Side | None = Field(None, description="pixels")
    steps: Steps | None = None
    guidance_scale: GuidanceScale | None = None
    scheduler: Scheduler | None = None
    clip_skip: ClipSkip | None = Field(
        None,
        description="number of last layers of the CLIP text encoder that are skipped for the prompt, as in diffusers: "
        "1 is what other programs call clip skip 2. The negative prompt uses all layers. 0 is the same as leaving it "
        "out. At most `max_clip_skip` of the base model's limits",
    )
    seed: Seed | None = Field(
        None, description="seed of the first image; each further image adds 1; chosen at random if left out"
    )
    images: ImageCount = Field(1, description="number of images")
    image_format: ImageFormat | None = None
    deadline_s: Deadline | None = Field(
        None,
        description="seconds within which a worker must have begun; else the job fails as `deadline_exceeded`",
    )
    webhook_url: str | None = Field(
        None,
        max_length=2000,
        pattern=r"^https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+$",
        description="URL that is called when the job has ended, with a signed message as of the Standard Webhooks "
        "specification",
    )
