"""``/v1/adapters/uploads``: a place in storage for an adapter's file."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field

from api.http.authentication import current_owner
from api.http.context import current_service
from api.http.messages import json_response, require_json_object
from api.http.problems import documented
from tasks.fields import JSON_NUMBER
from tasks.objects.client_uploads import ClientUpload

blueprint = APIBlueprint(
    "adapter_uploads", __name__, url_prefix="/v1/adapters/uploads", abp_tags=[Tag(name="adapters")]
)
blueprint.before_request(require_json_object)


class UploadRequest(BaseModel):
    """The file that will be uploaded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: Annotated[int, Field(gt=0), JSON_NUMBER]


@blueprint.post(
    "",
    operation_id="begin_adapter_upload",
    description="For uploading a file directly to storage; then call `POST /v1/adapters` with `upload`.",
    responses={
        HTTPStatus.CREATED: ClientUpload,
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)
def post_upload(body: UploadRequest) -> Response:
    """Begin the upload of a file."""
    registrations = current_service().registrations
    upload = registrations.begin_upload(current_owner(), sha256=body.sha256, size_bytes=body.size_bytes)
    return json_response(upload, HTTPStatus.CREATED)
