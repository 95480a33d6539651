"""``/v1/batches``: files of many requests, drawn behind all others."""

from __future__ import annotations

from contextlib import ExitStack
from http import HTTPStatus

from flask import Response, request, stream_with_context, url_for
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models import RawModel
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from api.http.authentication import current_owner, own_batch
from api.http.context import current_context, current_service
from api.http.messages import Parameters, json_response
from api.http.problems import RETRY_AFTER_HEADER, documented
from api.v1.jobs import LOCATION, SubmissionHeader
from tasks.batches.batch import LINES_TYPE, MAX_BYTES, Batch, BatchOptions, OnError
from tasks.batches.record import BatchPage, BatchRecord
from tasks.objects.client_uploads import ClientUpload

POLL_AGAIN_S = 5

RECORD = {"application/json": {"schema": {"$ref": f"#/components/schemas/{BatchRecord.__name__}"}}}
ACCEPTED = {
    "description": "The file was accepted, and will be planned.",
    "headers": {"Location": LOCATION, "Retry-After": RETRY_AFTER_HEADER},
    "content": RECORD,
}
RESULTS = {"description": "One result per line.", "content": {LINES_TYPE: {"schema": {"type": "string"}}}}

blueprint = APIBlueprint("batches", __name__, url_prefix="/v1/batches", abp_tags=[Tag(name="batches")])


class BatchPath(BaseModel):
    """Path of a batch."""

    batch_id: str = Field(description="as returned when it was submitted")


class Lines(RawModel):
    """A file of requests, one a line."""

    mimetypes = [LINES_TYPE]  # noqa: RUF012  (flask-openapi3 has it so)


class SubmissionQuery(Parameters):
    """Options of a submission."""

    model_config = ConfigDict(extra="forbid")

    on_error: OnError = Field(OnError.REJECT, description="what happens to the other lines if some are not valid")
    dry_run: bool = Field(False, description="only estimate its cost")
    webhook_url: str | None = Field(None, max_length=2000, description="receives a message when the batch has ended")
    upload: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="id of a file that was uploaded to storage; the body is then ignored",
    )


class BatchListQuery(Parameters):
    """The page of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=100, description="maximum number of entries")
    before: str | None = Field(None, max_length=64, description="`next_before` of the previous page")


@blueprint.post(
    "",
    operation_id="submit_batch",
    description="A file of up to 1,000,000 lines and 1 GiB. Each line is an object with `custom_id` and the fields of "
    "`POST /v1/jobs`, or a line of an OpenAI batch file for `/v1/images/generations`.",
    responses={
        HTTPStatus.ACCEPTED: ACCEPTED,
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)
def post_batch(header: SubmissionHeader, query: SubmissionQuery, raw: Lines) -> Response:  # noqa: ARG001 (documented)
    """Submit a batch."""
    service = current_service()
    owner = current_owner()
    options = BatchOptions(owner=owner, weight=service.keys.weight(owner), **query.model_dump(exclude={"upload"}))
    if query.upload is None:
        batch = received(options, header.idempotency_key)
    else:
        batch = service.batch_submissions.submit_uploaded(options, query.upload)
    service.durability.confirm()
    response = batch_response(batch, HTTPStatus.ACCEPTED)
    response.location = url_for(".get_batch", batch_id=batch.id)
    return response


@blueprint.post(
    "/uploads",
    operation_id="begin_batch_upload",
    description="Takes no body. For uploading a file directly to storage.",
    responses={HTTPStatus.CREATED: ClientUpload, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)
def post_upload() -> Response:
    """Begin the upload of a file."""
    return json_response(current_service().batch_submissions.begin_upload(current_owner()), HTTPStatus.CREATED)


@blueprint.get(
    "",
    operation_id="list_batches",
    description="Newest first.",
    responses={
        HTTPStatus.OK: BatchPage,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def get_batches(query: BatchListQuery) -> Response:
    """List batches."""
    records = current_service().batch_records
    return json_response(records.page(current_owner(), limit=query.limit, before=query.before))


@blueprint.get(
    "/<batch_id>",
    operation_id="get_batch",
    description="The URLs of its results are new in each response.",
    responses={
        HTTPStatus.OK: BatchRecord,
        **documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def get_batch(path: BatchPath) -> Response:
    """Poll a batch."""
    return batch_response(own_batch(path.batch_id))


STEPS = documented(
    HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
)


@blueprint.post(
    "/<batch_id>/cancel",
    operation_id="cancel_batch",
    description="Takes no body. The results of finished lines are kept.",
    responses={HTTPStatus.OK: BatchRecord, **STEPS},
)
def cancel_batch(path: BatchPath) -> Response:
    """Cancel a batch."""
    return batch_response(current_service().batch_control.cancel(own_batch(path.batch_id)))


@blueprint.post(
    "/<batch_id>/retry",
    operation_id="retry_batch",
    description="Takes no body. Retries the lines without images: those that failed, were canceled or never began.",
    responses={HTTPStatus.OK: BatchRecord, **STEPS},
)
def retry_batch(path: BatchPath) -> Response:
    """Retry the lines without images."""
    return batch_response(current_service().batch_control.retry(own_batch(path.batch_id)))


@blueprint.get(
    "/<batch_id>/results",
    operation_id="get_batch_results",
    description="In the order of the lines, those that have ended so far; each image with a new URL.",
    responses={
        HTTPStatus.OK: RESULTS,
        **documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def get_results(path: BatchPath) -> Response:
    """Read the results so far."""
    context = current_context()
    lines = context.service.batch_results.so_far(own_batch(path.batch_id))
    download = ExitStack()
    download.enter_context(context.downloads.one(current_owner()))
    response = Response(stream_with_context(lines), content_type=LINES_TYPE)
    response.call_on_close(download.close)
    response.cache_control.no_store = True
    return response


def received(options: BatchOptions, idempotency_key: str | None) -> Batch:
    """Make a batch of the lines in the body, which are passed on to storage as they come.

    Raises:
        UnsupportedMediaType: the content type is another one (415).
        RequestEntityTooLarge: the body is too long (413).
    """
    if request.mimetype != LINES_TYPE:
        raise UnsupportedMediaType(f"Send one request per line, with the header Content-Type: {LINES_TYPE}.")
    request.max_content_length = MAX_BYTES
    context = current_context()
    try:
        with context.uploads.one(options.owner):
            submissions = context.service.batch_submissions
            return submissions.submit(options, request.stream, idempotency_key=idempotency_key)
    except RequestEntityTooLarge:
        raise RequestEntityTooLarge(f"The file may have at most {MAX_BYTES} bytes. Split it.") from None


def batch_response(batch: Batch, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return a batch's record, with the time of the next poll."""
    response = json_response(current_service().batch_records.of(batch), status)
    if not batch.status.is_terminal:
        response.headers["Retry-After"] = str(POLL_AGAIN_S)
    return response
