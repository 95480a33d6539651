"""``/v1/jobs``: submit, list and poll jobs."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, url_for
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field

from api.http.authentication import current_key, current_owner, own_batch, own_job
from api.http.context import Context, current_context, current_service
from api.http.messages import IdempotencyKey, Parameters, json_response, require_json_object
from api.http.problems import RETRY_AFTER_HEADER, documented
from tasks.client_jobs.listing import JobPage
from tasks.client_jobs.record import JobRecord, JobRecords
from tasks.errors import InvalidRequest, LimitExceeded
from tasks.jobs.job import Job, Status
from tasks.requests.job import JobRequest

MAX_WAIT_S = 30
POLL_AGAIN_S = 1
POLL_AGAIN_AT_MOST_S = 10
JOBS_PER_S = 50
"""Jobs a second, more than the workers of a base model finish, so that a poll is never late."""

LOCATION = {"description": "where to poll the job", "schema": {"type": "string", "format": "uri-reference"}}
ACCEPTED = {
    "description": "The job is queued.",
    "headers": {"Location": LOCATION, "Retry-After": RETRY_AFTER_HEADER},
    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{JobRecord.__name__}"}}},
}

blueprint = APIBlueprint("jobs", __name__, url_prefix="/v1/jobs", abp_tags=[Tag(name="jobs")])
blueprint.before_request(require_json_object)


class JobPath(BaseModel):
    """Path of a job."""

    job_id: str = Field(description="as returned when it was submitted")


class SubmissionHeader(Parameters):
    """Header that makes a submission safe to repeat."""

    idempotency_key: IdempotencyKey = Field(
        None,
        description="chosen by the client, printable ASCII without spaces; the same key with the same body gives the "
        "same job for 24 hours",
    )


class PollQuery(Parameters):
    """Options of polling."""

    model_config = ConfigDict(extra="forbid")

    wait: float = Field(
        0,
        ge=0,
        le=MAX_WAIT_S,
        allow_inf_nan=False,
        description="seconds to wait for a change of the status; under load the response may come earlier",
    )


class ListQuery(Parameters):
    """Filters and page of the list of jobs."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = Field(None, description="only jobs with this status")
    code: str | None = Field(None, max_length=64, description="only failed jobs with this `error.code`")
    batch: str | None = Field(
        None, max_length=64, description="only jobs of this batch that are not among its results yet"
    )
    limit: int = Field(20, ge=1, le=100, description="maximum number of entries")
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the previous page")


@blueprint.post(
    "",
    operation_id="submit_job",
    description="The adapters determine the base model; fields that are left out take its defaults.",
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
def submit_job(header: SubmissionHeader, body: JobRequest) -> Response:
    """Submit a job."""
    service = current_service()
    job = service.submissions.submit(body, owner=current_owner(), idempotency_key=header.idempotency_key)
    response = job_response(service.records, job, HTTPStatus.ACCEPTED)
    response.location = url_for(".get_job", job_id=job.id)
    return response


@blueprint.get(
    "",
    operation_id="list_jobs",
    description="Newest first. With `status` or `code`, a page may be shorter than `limit` without being the last.",
    responses={
        HTTPStatus.OK: JobPage,
        **documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def get_jobs(query: ListQuery) -> Response:
    """List jobs."""
    service, page = current_service(), query.model_dump(include={"status", "limit", "cursor"})
    if query.code is not None and (query.batch is not None or query.status not in (None, Status.FAILED)):
        raise InvalidRequest("code can only be combined with status=failed, and not with batch.", field="code")
    if query.code is not None:
        jobs = service.job_list.failed_of_owner(current_owner(), query.code, limit=query.limit, cursor=query.cursor)
        return json_response(jobs)
    if query.batch is not None:
        return json_response(service.batch_job_list.of_batch(own_batch(query.batch), **page))
    return json_response(service.job_list.of_owner(current_owner(), **page))


@blueprint.get(
    "/<job_id>",
    operation_id="get_job",
    description="The URLs of its images are new in each response.",
    responses={
        HTTPStatus.OK: JobRecord,
        **documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def get_job(path: JobPath, query: PollQuery) -> Response:
    """Poll a job."""
    context = current_context()
    return job_response(context.service.records, poll(context, path.job_id, query.wait))


def poll(context: Context, job_id: str, wait_s: float) -> Job:
    """Return the job when its status changes; at once where too many responses are held, by all or by this key.

    Raises:
        JobNotFound: there is none, or it is another's.
    """
    job = own_job(job_id)
    if not wait_s or not context.held_responses.acquire(blocking=False):
        return job
    try:
        with context.service.quotas.holdings.response(current_key(), wait_s + MAX_WAIT_S):
            return context.service.store.wait(job_id, wait_s)
    except LimitExceeded:
        return job
    finally:
        context.held_responses.release()


def job_response(records: JobRecords, job: Job, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return a job's record, with the time of the next poll."""
    record = records.of(job)
    response = json_response(record, status)
    if not job.status.is_terminal:
        response.headers["Retry-After"] = str(poll_again_s(record.position or 0))
    return response


def poll_again_s(position: int) -> int:
    """Return the seconds until the next poll: more for a job that has many before it."""
    return min(POLL_AGAIN_AT_MOST_S, POLL_AGAIN_S + position // JOBS_PER_S)
