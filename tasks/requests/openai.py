"""The body of ``POST /v1/images/generations``: OpenAI's fields, and our further ones that go into ``extra_body``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tasks.adapters.file.reference import MAX_REFERENCE_CHARACTERS
from tasks.base_models.registry import BaseModels
from tasks.fields import ImageFormat
from tasks.requests.job import (
    MAX_ADAPTERS,
    MAX_SIDE,
    AdapterRequest,
    GuidanceScale,
    ImageCount,
    JobRequest,
    Prompt,
    Seed,
    Steps,
)
from tasks.requests.named_model import NamedModel, named
from tasks.requests.schedulers import SchedulerName


@dataclass(frozen=True)
class NoCounterpart:
    """Annotates a field: a value that its type does not allow is refused with this sentence."""

    reason: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "description": f"Anything else is refused: {self.reason}"}

    def check(self, value: object, inner: ValidatorFunctionWrapHandler) -> Any:
        """Validate, with our own sentence in the error.

        Raises:
            PydanticCustomError: the field's type does not allow the value.
        """
        with suppress(ValidationError):
            allowed = inner(value)
            if type(allowed) is type(value):  # to pydantic 0 is False
                return allowed
        raise PydanticCustomError("no_counterpart", "{reason}", {"reason": self.reason})


AUTO_SIZE = "auto"


def require_small(size: str) -> str:
    """Check the sides of a size.

    Raises:
        PydanticCustomError: one is longer than any that is allowed.
    """
    if size != AUTO_SIZE and max(map(int, size.split("x"))) > MAX_SIDE:
        raise PydanticCustomError("size", "A side may have at most {most} pixels", {"most": MAX_SIDE})
    return size


Size = Annotated[
    str, StringConstraints(pattern="^(auto|[1-9][0-9]{0,3}x[1-9][0-9]{0,3})$"), AfterValidator(require_small)
]


class OpenAiOnly(BaseModel):
    """Fields of OpenAI's API without a counterpart here. What would change an image is refused."""

    quality: Annotated[Literal["auto", "standard"] | None, NoCounterpart("Set steps in extra_body instead.")] = None
    background: Annotated[
        Literal["auto", "opaque"] | None, NoCounterpart("Images have no transparency. Send auto or opaque.")
    ] = None
    moderation: Annotated[
        Literal["auto"] | None, NoCounterpart("The operator sets the safety checker of each base model. Send auto.")
    ] = None
    stream: Annotated[
        Literal[False] | None,
        NoCounterpart("Responses are not streamed. Use POST /v1/jobs and poll to see the progress."),
    ] = None
    partial_images: Annotated[Literal[0] | None, NoCounterpart("There are no partial images. Leave it out.")] = None
    style: Annotated[None, NoCounterpart("Describe the style in the prompt, or use an adapter.")] = None
    output_compression: Annotated[
        None, NoCounterpart("The quality of jpeg and webp is fixed. Request png for lossless images.")
    ] = None
    user: Annotated[None, NoCounterpart("End users are not tracked. Create an API key for each user instead.")] = None
    safety_identifier: Annotated[
        None, NoCounterpart("End users are not tracked. Create an API key for each user instead.")
    ] = None
    complexity: Annotated[None, NoCounterpart("This has no meaning here. Leave it out.")] = None
    frame_count: Annotated[None, NoCounterpart("There is no video. Leave it out.")] = None
    frame_duration_ms: Annotated[None, NoCounterpart("There is no video. Leave it out.")] = None
    svg: Annotated[None, NoCounterpart("There are no vector images. Leave it out.")] = None


class ImagesRequest(OpenAiOnly):
    """A request for images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Prompt = Field(min_length=1, examples=["a red circle on a blue background"])
    model: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_REFERENCE_CHARACTERS,
        description="slug, id or alias of a base model, or an adapter; by default the first base model served, "
        "or that of the adapters",
        examples=["demo", "pixel"],
    )
    n: ImageCount | None = Field(None, description="number of images; by default 1")
    size: Size | None = Field(None, description="`WIDTHxHEIGHT` in pixels, or `auto`: the base model's own")
    response_format: Literal["url", "b64_json"] | None = Field(None, description="by default `url`")
    output_format: ImageFormat | None = None

    adapters: tuple[AdapterRequest, ...] | None = Field(
        None, max_length=MAX_ADAPTERS - 1, description="further adapters, in `extra_body`"
    )
    negative_prompt: Prompt | None = Field(None, description="in `extra_body`")
    steps: Steps | None = Field(None, description="in `extra_body`")
    guidance_scale: GuidanceScale | None = Field(None, description="in `extra_body`")
    scheduler: SchedulerName | None = Field(None, description="in `extra_body`")
    seed: Seed | None = Field(None, description="in `extra_body`; seed of the first image; each further image adds 1")

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """Width and height; None leaves them to the base model."""
        if self.size is None or self.size == AUTO_SIZE:
            return None, None
        width, height = map(int, self.size.split("x"))
        return width, height

    def named_model(self, base_models: BaseModels) -> NamedModel:
        """Return what ``model`` names."""
        return NamedModel() if self.model is None else named(base_models, self.model)


SAME_FIELDS = ImagesRequest.model_fields.keys() & JobRequest.model_fields.keys() - {"adapters"}
"""Fields that a job request has under the same name and with the same meaning."""


def job_request(model: NamedModel, body: ImagesRequest) -> JobRequest:
    """Return the job request for a request for images."""
    width, height = body.sides
    same = {name: getattr(body, name) for name in SAME_FIELDS}
    return JobRequest(
        **same,
        adapters=(*model.adapters, *(body.adapters or ())),
        base_model=model.base_model,
        width=width,
        height=height,
        images=body.n or 1,
        image_format=body.output_format,
    )
