"""``GET /v1/jobs``: one's own jobs."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field

from api.answers import answer
from api.context import current_service
from api.owner import current_owner
from api.problems import documented
from tasks.job import Status
from tasks.job_list import JobPage, list_jobs

blueprint = APIBlueprint("job_list", __name__, url_prefix="/v1/jobs", abp_tags=[Tag(name="jobs")])


class ListQuery(BaseModel):
    """Which jobs, and how many."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = Field(None, description="only jobs that stand there")
    limit: int = Field(20, ge=1, le=100, description="how many at most")
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before")


@blueprint.get(
    "",
    operation_id="list_jobs",
    description="Newest first. With `status`, a page may be shorter than `limit`, or empty, while jobs move on.",
    responses={
        HTTPStatus.OK: JobPage,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def get_jobs(query: ListQuery) -> Response:
    """List jobs."""
    page = list_jobs(current_service(), current_owner(), status=query.status, limit=query.limit, cursor=query.cursor)
    return answer(page)
