"""``/healthz`` and ``/readyz``: whether this process lives, and whether it can serve."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from api.answers import answer
from api.context import current_service
from api.problems import documented, of_unavailable
from storage import StorageError
from tasks.errors import BrokerUnavailable, ServiceUnavailable, StorageUnavailable
from tasks.service import Service

blueprint = APIBlueprint("health", __name__, abp_tags=[Tag(name="health")])


class Health(BaseModel):
    """All is well; what is not is a problem document."""

    status: Literal["ok"] = "ok"


@blueprint.get("/healthz", operation_id="healthz", responses={HTTPStatus.OK: Health, **documented()})
def healthz() -> Response:
    """Whether this process lives."""
    return answer(Health())


@blueprint.get(
    "/readyz",
    operation_id="readyz",
    responses={HTTPStatus.OK: Health, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)
def readyz() -> Response:
    """Whether broker and storage can be reached; the problem names each that cannot."""
    away = unreachable(current_service())
    return of_unavailable(*away) if away else answer(Health())


def unreachable(service: Service) -> list[ServiceUnavailable]:
    """The servers that a job needs and that do not answer."""
    away: list[ServiceUnavailable] = []
    try:
        service.broker.ping()
    except BrokerUnavailable as error:
        away.append(error)
    try:
        service.storage.check()
    except StorageError as error:
        away.append(StorageUnavailable(str(error)))
    return away
