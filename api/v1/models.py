"""``/v1/models``: the base models served, and their workers."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field

from api.http.context import current_service
from api.http.messages import json_response
from api.http.problems import documented
from tasks.base_models.registry import Defaults, Limits, Scheduler, ServedModel
from tasks.jobs.index import JobIndex
from tasks.lanes.worker_registry import WorkerNote, WorkerRegistry
from tasks.loops.rounds import LoopAge

blueprint = APIBlueprint("models", __name__, url_prefix="/v1/models", abp_tags=[Tag(name="models")])


class ModelRecord(BaseModel):
    """A base model, with its limits and its present load."""

    model_config = ConfigDict(frozen=True)

    slug: str = Field(description="what a request writes as `base_model`")
    model: str = Field(description="repository on the Hub, or a folder of this service")
    aliases: tuple[str, ...] = Field(description="other repositories with the same weights")
    defaults: Defaults
    limits: Limits
    schedulers: tuple[Scheduler, ...] = Field(description="what a request may write as `scheduler`")
    queue_length: int = Field(description="queued jobs")
    workers: tuple[WorkerNote, ...] = Field(description="live workers, with the adapters that they have merged")


class ModelList(BaseModel):
    """The base models, the default first, and the work beside the requests."""

    model_config = ConfigDict(frozen=True)

    models: tuple[ModelRecord, ...]
    loops: tuple[LoopAge, ...] = Field(
        description="background loops that recover jobs, plan batches and deliver webhooks"
    )


@blueprint.get(
    "",
    operation_id="list_models",
    description="The first one is the default for requests that name neither a base model nor an adapter.",
    responses={HTTPStatus.OK: ModelList, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)
def list_models() -> Response:
    """List the base models."""
    service = current_service()
    models = tuple(record_of(model, service.index, service.workers) for model in service.base_models)
    return json_response(ModelList(models=models, loops=service.rounds.ages()))


def record_of(model: ServedModel, index: JobIndex, workers: WorkerRegistry) -> ModelRecord:
    """Return the record of a base model, with its queue and its workers as they are now."""
    return ModelRecord(
        slug=model.slug,
        model=model.model,
        aliases=model.aliases,
        defaults=model.defaults,
        limits=model.limits,
        schedulers=model.schedulers,
        queue_length=index.waiting(model.slug),
        workers=tuple(workers.alive(model.slug)),
    )
