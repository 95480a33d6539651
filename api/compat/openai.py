"""``/v1/images/generations``: OpenAI's way to ask for images, which most image clients speak."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from http import HTTPStatus

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field

from api.compat.field_names import add_error, refused_as
from api.compat.outcomes import refusal, unflagged
from api.compat.waiting import JOB_ID, documented_wait, name_job, waited_for
from api.http.context import current_service
from api.http.messages import json_response, require_json_object
from api.http.problems import Problem
from api.v1.jobs import SubmissionHeader
from storage import Storage
from tasks.fields import ImageFormat
from tasks.jobs.job import Job
from tasks.requests.job import MAX_ADAPTERS
from tasks.requests.named_model import MODEL_ADAPTER, NamedModel
from tasks.requests.openai import ImagesRequest, job_request

SHOULD_RETRY = "x-should-retry"
"""Header by which the ``openai`` package decides whether to repeat a request by itself."""

FIELDS = {"base_model": "model", "width": "size", "height": "size", "images": "n"}
"""The fields of a job request that have another name in this API."""

blueprint = APIBlueprint("openai_images", __name__, url_prefix="/v1/images", abp_tags=[Tag(name="images")])
blueprint.before_request(require_json_object)


class ImageUrl(BaseModel):
    """An image to be fetched."""

    model_config = ConfigDict(frozen=True)

    url: str
    seed: int


class ImageBase64(BaseModel):
    """An image within the response."""

    model_config = ConfigDict(frozen=True)

    b64_json: str
    seed: int


class ImagesResponse(BaseModel):
    """The images. Those that the safety checker withheld are left out."""

    model_config = ConfigDict(frozen=True)

    created: int = Field(description="seconds since 1970, UTC")
    data: tuple[ImageUrl | ImageBase64, ...]
    output_format: ImageFormat
    size: str = Field(description="`WIDTHxHEIGHT` in pixels")


@blueprint.post(
    "/generations",
    operation_id="generate_images",
    description="Body and response are those of OpenAI's API; the fields that it lacks go into `extra_body`. "
    "Waits for a time that the operator sets (by default a minute); then returns 503 with a `Location` to poll the "
    "job.",
    responses={HTTPStatus.OK: ImagesResponse, **documented_wait()},
)
def generate_images(header: SubmissionHeader, body: ImagesRequest) -> Response:
    """Generate images, and return them or their URLs."""
    service = current_service()
    model = body.named_model(service.base_models)
    with refused_as(service.base_models, model, fields_of(model)):
        job = waited_for(job_request(model, body), header.idempotency_key)
    refused = refusal(job, service.index, waited_s=service.settings.response_wait_s)
    in_base64 = body.response_format == "b64_json"
    return refused or json_response(images_response(service.storage, job, in_base64=in_base64))


def fields_of(model: NamedModel) -> dict[str, str]:
    """Return ``FIELDS`` with the numbers of the adapters as the client counts them."""
    if not model.adapters:
        return FIELDS
    moved = {f"adapters.{index + 1}.ref": f"adapters.{index}.ref" for index in range(MAX_ADAPTERS)}
    return FIELDS | {MODEL_ADAPTER: "model"} | moved


def images_response(storage: Storage, job: Job, *, in_base64: bool) -> ImagesResponse:
    """Return the images of a job that has succeeded."""
    return ImagesResponse(
        created=int(job.created_at.timestamp()),
        data=tuple(images(storage, job, in_base64=in_base64)),
        output_format=job.spec.image_format,
        size=f"{job.spec.width}x{job.spec.height}",
    )


def images(storage: Storage, job: Job, *, in_base64: bool) -> Iterator[ImageUrl | ImageBase64]:
    """Yield each image in the requested form."""
    for image, key in unflagged(job):
        if in_base64:
            yield ImageBase64(b64_json=base64.b64encode(storage.get(key)).decode(), seed=image.seed)
        else:
            yield ImageUrl(url=storage.url(key), seed=image.seed)


@blueprint.after_request
def tell_openai_client(response: Response) -> Response:
    """Add the error that the ``openai`` package reads, and keep the package from repeating the request by itself."""
    name_job(response)
    if JOB_ID in response.headers and "Idempotency-Key" not in request.headers:
        response.headers[SHOULD_RETRY] = "false"
    return add_error(response, openai_error)


def openai_error(problem: Problem) -> dict[str, str | None]:
    """Return a problem in the form of OpenAI's API."""
    return {
        "message": problem.detail,
        "type": "invalid_request_error" if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error",
        "param": problem.errors[0].field if problem.errors else None,
        "code": problem.code,
    }
