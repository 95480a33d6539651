"""``/models/<model>``: the Inference API of the Hub's clients, whose response is the image itself."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool
from pydantic_core import PydanticCustomError
from werkzeug.exceptions import NotAcceptable

from api.compat.field_names import add_error, refused_as
from api.compat.outcomes import refusal, unflagged
from api.compat.waiting import JOB_ID, JOB_ID_HEADER, documented_wait, name_job, waited_for
from api.http.context import current_service
from api.http.messages import require_json_object
from api.v1.jobs import SubmissionHeader
from storage import Storage
from tasks.adapters.file.reference import MAX_REFERENCE_CHARACTERS
from tasks.fields import JSON_NUMBER, ImageFormat
from tasks.jobs.job import Job
from tasks.jobs.result import Environment
from tasks.requests.job import AdapterRequest, GuidanceScale, JobRequest, Prompt, Seed, Side, Steps
from tasks.requests.named_model import NamedModel, named
from tasks.requests.schedulers import SchedulerName


def accepted_format(preferred: ImageFormat) -> ImageFormat:
    """Return the format that the present request prefers; ``preferred`` where it has no preference.

    Raises:
        NotAcceptable: it accepts none that can be drawn (406).
    """
    formats: dict[str, ImageFormat] = {
        image_format.content_type: image_format for image_format in (preferred, *ImageFormat)
    }
    accepted = request.accept_mimetypes
    best: str | None = accepted.best_match(formats) if accepted else preferred.content_type
    if best is None:
        raise NotAcceptable(f"Images are available as {', '.join(formats)}. Send one of them as Accept, or */*.")
    return formats[best]


def require_one(images: int) -> int:
    """Check that one image is asked for.

    Raises:
        PydanticCustomError: it is another number.
    """
    if images != 1:
        raise PydanticCustomError("images", "One request returns one image; POST /v1/jobs generates several")
    return images


class InferenceParameters(BaseModel):
    """Parameters of the generation. Fields that are left out take the base model's defaults.

    Each is a field of ``JobRequest``; its alias is the name that the Hub's clients use.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    negative_prompt: Prompt | None = None
    height: Side | None = Field(None, description="pixels")
    width: Side | None = Field(None, description="pixels")
    steps: Steps | None = Field(None, alias="num_inference_steps")
    guidance_scale: GuidanceScale | None = None
    scheduler: SchedulerName | None = Field(None, description="a short name, or a class of diffusers")
    seed: Seed | None = Field(None, description="chosen at random if left out; the header `x-seed` returns it")
    images: Annotated[int, AfterValidator(require_one), JSON_NUMBER] = Field(
        1, alias="num_images_per_prompt", json_schema_extra={"const": 1}
    )


class InferenceOptions(BaseModel):
    """Accepted because clients send them, and without effect: every request is drawn afresh and waits for its model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    use_cache: StrictBool | None = None
    wait_for_model: StrictBool | None = None


class InferenceRequest(BaseModel):
    """A request for images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: Prompt = Field(min_length=1, description="the prompt", examples=["a red circle on a blue background"])
    parameters: InferenceParameters | None = None
    options: InferenceOptions | None = None


WARNING = "X-HF-Warning"
"""Header that ``huggingface_hub`` writes to its user's log."""


MAX_WARNING_CHARACTERS = 1000


RESPONSES: dict[Any, Any] = {
    HTTPStatus.OK: {
        "description": "The image.",
        "headers": {
            JOB_ID: JOB_ID_HEADER,
            "x-compute-time": {"description": "seconds that generation took", "schema": {"type": "number"}},
            "x-compute-type": {
                "description": "`cpu` or `gpu`",
                "schema": {"type": "string"},
            },
            "x-seed": {"description": "seed of the image", "schema": {"type": "integer"}},
            WARNING: {"description": "possible problems of the adapters", "schema": {"type": "string"}},
        },
        "content": {image_format.content_type: {} for image_format in ImageFormat},
    },
    **documented_wait(HTTPStatus.NOT_ACCEPTABLE),
}


def succeeded_image(storage: Storage, job: Job) -> Response:
    """Return the image of a job that has succeeded, with its seed and timing in headers."""
    image, key = next(unflagged(job))
    response = Response(storage.get(key), content_type=job.spec.image_format.content_type)
    response.cache_control.no_store = True
    told = {
        "x-compute-time": job.timings.draw,
        "x-compute-type": compute_type_of(job.result.environment),
        "x-seed": image.seed,
    }
    response.headers.extend({name: str(value) for name, value in told.items() if value is not None})
    response.headers.extend((WARNING, text) for text in hub_warnings(job.options.warnings))
    return response


def hub_warnings(warnings: tuple[str, ...]) -> Iterator[str]:
    """Yield a job's warnings, each as ``topic; message`` in what a header may hold; the client shows a topic once."""
    for number, warning in enumerate(warnings):
        line = " ".join(warning.split())[:MAX_WARNING_CHARACTERS]
        text = "".join(character if " " <= character <= "~" else "?" for character in line)
        yield f"{text.partition(':')[0].replace(';', ',')} {number}; {text}"


def compute_type_of(environment: Environment | None) -> str | None:
    """Return the device that a job was drawn on, in the Hub's words; None if its record does not say."""
    if environment is None:
        return None
    return "cpu" if environment.device.startswith("cpu") else "gpu"


blueprint = APIBlueprint("inference", __name__, url_prefix="/models", abp_tags=[Tag(name="inference")])


blueprint.before_request(require_json_object)


blueprint.after_request(name_job)


@blueprint.after_request
def tell_hub_client(response: Response) -> Response:
    """Add the sentence that ``huggingface_hub`` shows its user."""
    return add_error(response, lambda problem: problem.detail)


def as_utf8(value: object) -> object:
    """A header's bytes read as UTF-8, in which clients send them; a server gives them as Latin-1 (PEP 3333)."""
    try:
        return value.encode("latin-1").decode() if isinstance(value, str) else value
    except UnicodeError:
        return value


class InferenceHeader(SubmissionHeader):
    """A further adapter, beside the one in the path."""

    lora: Annotated[str | None, BeforeValidator(as_utf8)] = Field(
        None,
        min_length=1,
        max_length=MAX_REFERENCE_CHARACTERS,
        description="adapter to merge as well: `owner/name[@revision][:weight_name]`, in UTF-8 or percent-encoded, or "
        "a name of the catalogue",
    )


class ModelPath(BaseModel):
    """A base model or an adapter, whose name may have slashes."""

    model: str = Field(
        max_length=MAX_REFERENCE_CHARACTERS,
        description="slug, id or alias of a base model; or an adapter: `owner/name[@revision][:weight_name]`, plain or "
        "percent-encoded, or a name of the catalogue",
    )


FIELDS = {
    "base_model": "model",
    "adapters": "lora",
    "prompt": "inputs",
    **{name: f"parameters.{field.alias or name}" for name, field in InferenceParameters.model_fields.items()},
}
"""The fields of a job request, as the Hub's clients call them."""


DESCRIPTION = (
    "Body, response and the header `lora` are those of the Hub's Inference API. The format follows `Accept`. Waits "
    "for the image for a time that the operator sets (by default a minute); then returns 503 with a "
    "`Location` to poll the job."
)


@blueprint.post("/<path:model>", operation_id="infer", description=DESCRIPTION, responses=RESPONSES)
def infer(path: ModelPath, header: InferenceHeader, body: InferenceRequest) -> Response:
    """Generate an image with a base model or an adapter."""
    service = current_service()
    model = named(service.base_models, path.model)
    request = job_request(model, header.lora, body, accepted_format(service.settings.image_format))
    with refused_as(service.base_models, model, fields_of(model)):
        job = waited_for(request, header.idempotency_key)
    refused = refusal(job, service.index, waited_s=service.settings.response_wait_s)
    return refused or succeeded_image(service.storage, job)


def job_request(model: NamedModel, lora: str | None, body: InferenceRequest, image_format: ImageFormat) -> JobRequest:
    """Return the job request for this request."""
    parameters = body.parameters or InferenceParameters()
    same = {name: getattr(parameters, name) for name in InferenceParameters.model_fields}
    return JobRequest(
        **same,
        prompt=body.inputs,
        adapters=model.adapters if lora is None else (*model.adapters, AdapterRequest(ref=lora)),
        base_model=model.base_model,
        image_format=image_format,
    )


def fields_of(model: NamedModel) -> dict[str, str]:
    """Return ``FIELDS`` with the adapters in the order of the job."""
    places = ("model", "lora") if model.adapters else ("lora",)
    return FIELDS | {f"adapters.{index}.ref": place for index, place in enumerate(places)}
