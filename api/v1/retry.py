"""``POST /v1/jobs/{id}/retry`` and ``POST /v1/jobs/retry``: draw failed jobs again."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from flask import Response, url_for
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AwareDatetime, Field, field_validator
from pydantic_core import PydanticCustomError

from api.http.authentication import current_owner, own_job
from api.http.context import current_service
from api.http.messages import json_response, require_json_object
from api.http.problems import documented
from api.v1.jobs import ACCEPTED, JobPath, job_response
from tasks.client_jobs.retry import FailedJobs, RetryReport
from tasks.fields import JSON_NUMBER, Frozen

blueprint = APIBlueprint("retry", __name__, url_prefix="/v1/jobs", abp_tags=[Tag(name="jobs")])
bulk = APIBlueprint("retry_all", __name__, url_prefix="/v1/jobs", abp_tags=[Tag(name="jobs")])
bulk.before_request(require_json_object)


class RetryRequest(Frozen):
    """Filter of the failed jobs to retry."""

    code: str | None = Field(None, max_length=64, description="only those that failed with this `error.code`")
    since: AwareDatetime | None = Field(None, description="only those that failed at this time or later")
    limit: Annotated[int, Field(ge=1, le=100), JSON_NUMBER] = Field(
        100, description="maximum number of jobs; repeat the request for the rest"
    )

    @field_validator("since", mode="before")
    @classmethod
    def _is_written_out(cls, value: object) -> object:
        """pydantic would take a number, or one in quotes, for seconds since 1970; our document does not."""
        if value is None or (isinstance(value, str) and value[10:11] in {"T", "t"}):
            return value
        raise PydanticCustomError("datetime", "Input should be a date and time such as 2026-01-31T12:00:00Z")

    @property
    def selection(self) -> FailedJobs:
        """Return the selection of jobs."""
        since: datetime | None = self.since
        return FailedJobs(self.code, since)


@blueprint.post(
    "/<job_id>/retry",
    operation_id="retry_job",
    description="Takes no body. Creates a job with exactly the same specification, whose `retry_of` is the id of the "
    "failed one. Repeating the request returns the same new job.",
    responses={
        HTTPStatus.ACCEPTED: ACCEPTED,
        **documented(
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)
def retry_job(path: JobPath) -> Response:
    """Draw a failed job again."""
    service = current_service()
    job = service.retries.retry(own_job(path.job_id))
    response = job_response(service.records, job, HTTPStatus.ACCEPTED)
    response.location = url_for("jobs.get_job", job_id=job.id)
    return response


@bulk.post(
    "/retry",
    operation_id="retry_jobs",
    description="Each failed job is queued again once, oldest first. Lines of batches are retried with their batch.",
    responses={
        HTTPStatus.OK: RetryReport,
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)
def retry_jobs(body: RetryRequest) -> Response:
    """Draw many failed jobs again."""
    retries = current_service().retries
    return json_response(retries.retry_all(retries.failed_of(current_owner(), body.selection), body.limit))
