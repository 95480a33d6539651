"""``/healthz`` and ``/readyz``: liveness of this process, and readiness of the service."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from api.http.context import current_service
from api.http.messages import json_response
from api.http.problems import documented, of_error, of_unavailable, respond
from storage import Storage, StorageError
from tasks.errors import LoopOverdue, ServiceUnavailable, StorageUnavailable, ValkeyUnavailable
from tasks.loops.rounds import LoopAge, Rounds

logger = logging.getLogger(__name__)

blueprint = APIBlueprint("health", __name__, abp_tags=[Tag(name="health")])


class Health(BaseModel):
    """A good state; a bad one is a problem document."""

    status: Literal["ok"] = "ok"


@blueprint.get("/healthz", operation_id="healthz", responses={HTTPStatus.OK: Health, **documented()})
def healthz() -> Response:
    """Return 200: this process lives."""
    return json_response(Health())


@blueprint.get(
    "/readyz",
    operation_id="readyz",
    responses={HTTPStatus.OK: Health, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)
def readyz() -> Response:
    """Return whether the service is ready; a problem names each unavailable server and each overdue loop.

    Valkey must take a write, and every loop beside the requests must have finished a round recently.
    """
    service = current_service()
    if away := unreachable(service.rounds, service.storage):
        return of_unavailable(*away)
    late = [age for age in service.rounds.ages() if age.overdue]
    return of_overdue(late) if late else json_response(Health())


def of_overdue(late: Sequence[LoopAge]) -> Response:
    """Return the problem of overdue loops."""
    detail = f"Overdue: {', '.join(map(described, late))}. The process that runs it must be started anew."
    logger.error("loops are overdue: %s", ", ".join(map(described, late)))
    return respond(of_error(LoopOverdue(detail), HTTPStatus.SERVICE_UNAVAILABLE, detail))


def described(age: LoopAge) -> str:
    """Return the name of a loop with its delay."""
    return f"{age.loop} ({'no round yet' if age.age_s is None else f'last round {age.age_s:g} s ago'})"


def unreachable(rounds: Rounds, storage: Storage) -> list[ServiceUnavailable]:
    """Return the errors of servers that jobs need and that do not answer."""
    away: list[ServiceUnavailable] = []
    try:
        rounds.probe()
    except ValkeyUnavailable as error:
        away.append(error)
    try:
        storage.check()
    except StorageError as error:
        away.append(StorageUnavailable(str(error)))
    return away
