"""``/v1/adapters``: the local catalogue."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict

from api.answers import answer
from api.context import current_service
from api.problems import documented
from tasks.adapters import LocalAdapter

blueprint = APIBlueprint("adapters", __name__, url_prefix="/v1/adapters", abp_tags=[Tag(name="adapters")])


class AdapterList(BaseModel):
    """The adapters of the local catalogue, by name."""

    model_config = ConfigDict(frozen=True)

    adapters: tuple[LocalAdapter, ...]


@blueprint.get(
    "",
    operation_id="list_adapters",
    description="Those on the Hub need no entry here: a request names them as `owner/name`.",
    responses={HTTPStatus.OK: AdapterList, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)
def list_adapters() -> Response:
    """List the adapters of the local catalogue."""
    return answer(AdapterList(adapters=current_service().adapter_folders.adapters()))
