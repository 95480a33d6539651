"""``POST /v1/jobs/{id}/replay``: draw a job again and compare."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, url_for
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api.http.authentication import own_job
from api.http.context import current_service
from api.http.problems import documented
from api.v1.jobs import ACCEPTED, JobPath, SubmissionHeader, job_answer

blueprint = APIBlueprint("replay", __name__, url_prefix="/v1/jobs", abp_tags=[Tag(name="jobs")])


@blueprint.post(
    "/<job_id>/replay",
    operation_id="replay_job",
    description="Takes no body. A new job of exactly the same specification; its record says under `replay` whether "
    "its images are identical, else how far they are off and which facts of the manifest are others.",
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
    response = job_answer(service.records, job, HTTPStatus.ACCEPTED)
    response.location = url_for("jobs.get_job", job_id=job.id)
    return response
