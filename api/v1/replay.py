"""``POST /v1/jobs/{id}/replay``: draw a job again and compare."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, url_for
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api.http.authentication import own_job
from api.http.context import current_service
from api.http.problems import documented
from api.v1.jobs import ACCEPTED, JobPath, SubmissionHeader, job_response

blueprint = APIBlueprint("replay", __name__, url_prefix="/v1/jobs", abp_tags=[Tag(name="jobs")])


@blueprint.post(
    "/<job_id>/replay",
    operation_id="replay_job",
    description="Takes no body. Creates a job with exactly the same specification. `replay` in its record says whether "
    "its images are identical; if not, how much they differ and which facts of the manifest have changed.",
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
def replay_job(path: JobPath, header: SubmissionHeader) -> Response:
    """Draw a job again."""
    service = current_service()
    job = service.submissions.replay(own_job(path.job_id), idempotency_key=header.idempotency_key)
    response = job_response(service.records, job, HTTPStatus.ACCEPTED)
    response.location = url_for("jobs.get_job", job_id=job.id)
    return response
