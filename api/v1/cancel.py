"""``POST /v1/jobs/{id}/cancel``: cancel a job."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api.http.authentication import own_job
from api.http.context import current_service
from api.http.problems import documented
from api.v1.jobs import JobPath, job_response
from tasks.client_jobs.record import JobRecord

blueprint = APIBlueprint("cancel", __name__, url_prefix="/v1/jobs", abp_tags=[Tag(name="jobs")])


@blueprint.post(
    "/<job_id>/cancel",
    operation_id="cancel_job",
    description="Takes no body. A running job stops at its next step, and none of its images are kept.",
    responses={
        HTTPStatus.OK: JobRecord,
        **documented(
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)
def cancel_job(path: JobPath) -> Response:
    """Cancel a job."""
    service, job = current_service(), own_job(path.job_id)
    return job_response(service.records, service.store.cancel(job.id))
