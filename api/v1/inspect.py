"""``/v1/adapters/inspect``: an adapter's passport, before any job."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field

from api.http.authentication import requester
from api.http.context import current_service
from api.http.messages import json_response, require_json_object
from api.http.problems import documented
from tasks.adapters.file.reference import MAX_REFERENCE_CHARACTERS
from tasks.adapters.passport.passport import Passport

blueprint = APIBlueprint("inspect", __name__, url_prefix="/v1/adapters/inspect", abp_tags=[Tag(name="adapters")])
blueprint.before_request(require_json_object)


class InspectionRequest(BaseModel):
    """The adapter to inspect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ref: str = Field(
        min_length=1,
        max_length=MAX_REFERENCE_CHARACTERS,
        description="`owner/name[@revision][:weight_name]` on the Hub, or a name of the catalogue",
        examples=["pixel"],
    )


@blueprint.post(
    "",
    operation_id="inspect_adapter",
    description="Reads only the header of its file. The response is 200 whatever the verdict; it is 422 if there is no "
    "such adapter or it cannot be read.",
    responses={
        HTTPStatus.OK: Passport,
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)
def inspect_adapter(body: InspectionRequest) -> Response:
    """Say whether an adapter will work."""
    return json_response(current_service().resolver.inspect(body.ref, field="ref", requester=requester()))
