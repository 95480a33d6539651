"""``/models/<model>``: the Inference API of the Hub's clients, which answers with the picture itself."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from api.accept import accepted_format
from api.error_member import add_error
from api.http.context import current_service
from api.http.messages import require_json_object
from api.inference_answer import RESPONSES, picture_answer
from api.inference_request import InferenceParameters, InferenceRequest
from api.model_names import refused_as
from api.outcomes import refusal
from api.v1.jobs import SubmissionHeader
from api.waiting import name_job, waited_for
from tasks.adapters.file.reference import MAX_REFERENCE_CHARACTERS
from tasks.fields import ImageFormat
from tasks.requests.job import AdapterRequest, JobRequest
from tasks.requests.named_model import NamedModel, named

blueprint = APIBlueprint("inference", __name__, url_prefix="/models", abp_tags=[Tag(name="inference")])
blueprint.before_request(require_json_object)
blueprint.after_request(name_job)


@blueprint.after_request
def tell_hub_client(response: Response) -> Response:
    """Add the sentence that ``huggingface_hub`` shows its user."""
    return add_error(response, lambda problem: problem.detail)


class InferenceHeader(SubmissionHeader):
    """Which adapter, beside the path."""

    lora: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_REFERENCE_CHARACTERS,
        description="adapter to merge as well: `owner/name[@revision][:weight_name]` or a name of the catalogue",
    )


class SlugPath(BaseModel):
    """A base model or an adapter of this service."""

    slug: str = Field(max_length=64, description="slug of a base model, or an adapter's name in the catalogue")


class RepositoryPath(BaseModel):
    """A base model or an adapter on the Hub."""

    owner: str = Field(max_length=96)
    name: str = Field(max_length=200, description="of a base model that is served, or of an adapter for one")


FIELDS = {
    "base_model": "model",
    "adapters": "lora",
    "prompt": "inputs",
    "width": "parameters.width",
    "height": "parameters.height",
    "steps": "parameters.num_inference_steps",
    "scheduler": "parameters.scheduler",
}
"""The fields of a job request, as this door calls them."""

DESCRIPTION = (
    "The body, the answer and the header `lora` are those of the Hub's Inference API. The format follows `Accept`. "
    "Waits for the picture as long as this service is set to, or a minute; then 503, and `Location` says where to poll "
    "the job."
)


@blueprint.post("/<slug>", operation_id="infer", description=DESCRIPTION, responses=RESPONSES)
def infer(path: SlugPath, header: InferenceHeader, body: InferenceRequest) -> Response:
    """Draw a picture with a model of this service, and answer with it."""
    return picture(path.slug, header, body)


@blueprint.post("/<owner>/<name>", operation_id="infer_repository", description=DESCRIPTION, responses=RESPONSES)
def infer_repository(path: RepositoryPath, header: InferenceHeader, body: InferenceRequest) -> Response:
    """Draw a picture with a model of the Hub, and answer with it."""
    return picture(f"{path.owner}/{path.name}", header, body)


def picture(name: str, header: InferenceHeader, body: InferenceRequest) -> Response:
    """The picture, or why there is none."""
    service = current_service()
    model = named(service.base_models, name)
    request = job_request(model, header.lora, body, accepted_format(service.settings.image_format))
    with refused_as(service.base_models, model, fields_of(model)):
        job = waited_for(request, header.idempotency_key)
    return refusal(service, job) or picture_answer(service, job)


def job_request(model: NamedModel, lora: str | None, body: InferenceRequest, image_format: ImageFormat) -> JobRequest:
    """The job that the request asks for."""
    parameters = body.parameters or InferenceParameters()
    return JobRequest(
        prompt=body.inputs,
        negative_prompt=parameters.negative_prompt,
        adapters=model.adapters if lora is None else (*model.adapters, AdapterRequest(ref=lora)),
        base_model=model.base_model,
        width=parameters.width,
        height=parameters.height,
        steps=parameters.num_inference_steps,
        guidance_scale=parameters.guidance_scale,
        scheduler=parameters.scheduler,
        seed=parameters.seed,
        image_format=image_format,
    )


def fields_of(model: NamedModel) -> dict[str, str]:
    """As ``FIELDS``, with the adapters in the order in which the job has them."""
    places = ("model", "lora") if model.adapters else ("lora",)
    return FIELDS | {f"adapters.{index}.ref": place for index, place in enumerate(places)}
