"""Submit a job and hold the response until it has ended: for clients that wait for the image itself.

Every response names the job: the job continues when the time is over or the client hangs up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from flask import Response, g, url_for
from flask_openapi3.types import ResponseDict

from api.http.authentication import current_key, current_owner
from api.http.context import MAX_HELD_RESPONSES, Context, current_context
from api.http.problems import documented
from api.v1.jobs import LOCATION
from tasks.errors import TooManyWaiting
from tasks.jobs.job import Job
from tasks.jobs.store import JobStore
from tasks.requests.job import JobRequest

JOB_ID = "x-job-id"
JOB_ID_HEADER = {"description": "the job's id", "schema": {"type": "string"}}

SLICE_S = 10
"""Seconds after which a change is seen whose announcement was lost."""


def waited_for(request: JobRequest, idempotency_key: str | None) -> Job:
    """Submit a job for the client of the present request; return it when it has ended, or after its time to wait.

    Raises:
        TooManyWaiting: there is no room for another held response; nothing was submitted.
        RequestError, ServiceUnavailable: as ``tasks.client_jobs.submission.submit``.
    """
    context = current_context()
    with holding(context):
        job = context.service.submissions.submit(request, owner=current_owner(), idempotency_key=idempotency_key)
        g.waited_for = job.id
        return ended(job, context.service.store, context.service.settings.response_wait_s)


@contextmanager
def holding(context: Context) -> Iterator[None]:
    """Take one of the places for held responses of this process.

    Raises:
        TooManyWaiting: all are taken.
        LimitExceeded: the key of the request holds as many as it may.
    """
    if not context.held_responses.acquire(blocking=False):
        raise TooManyWaiting(f"{MAX_HELD_RESPONSES} responses are held by this process.")
    service = context.service
    try:
        with service.quotas.holdings.response(current_key(), service.settings.response_wait_s + SLICE_S):
            yield
    finally:
        context.held_responses.release()


def ended(job: Job, store: JobStore, wait_s: float, clock: Callable[[], float] = time.monotonic) -> Job:
    """Return the job when it has ended, or as it is after this many seconds."""
    deadline = clock() + wait_s
    while not job.status.is_terminal and (left := deadline - clock()) > 0:
        job = store.wait(job.id, min(left, SLICE_S))
    return job


def name_job(response: Response) -> Response:
    """Name the job of a response, and the URL to poll if the response is not an image."""
    job_id: str | None = g.get("waited_for")
    if job_id is not None:
        response.headers[JOB_ID] = job_id
        if response.status_code != HTTPStatus.OK:
            response.location = url_for("jobs.get_job", job_id=job_id)
    return response


def documented_wait(*others: HTTPStatus) -> ResponseDict:
    """Return the errors of an operation that waits for a job, for the OpenAPI document: these, and the usual ones."""
    return documented(
        *(HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY),
        *(HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE),
        *others,
        headers={JOB_ID: JOB_ID_HEADER, "Location": LOCATION},
    )
