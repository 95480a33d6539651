"""Problems for a client that waits for an image whose job has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import MappingProxyType

from flask import Response

from api.http.problems import Problem, respond, type_of
from api.v1.jobs import poll_again_s
from tasks.errors import (
    AdapterFetchFailed,
    AdapterLoadFailed,
    AdapterWithoutEffect,
    AttemptStalled,
    DeadlineExceeded,
    DeviceFault,
    DrawingFailed,
    JobFailed,
    OutOfMemory,
    StorageFault,
    WorkerLost,
)
from tasks.jobs.index import JobIndex
from tasks.jobs.job import Job, Status
from tasks.jobs.result import Failure, StoredImage


def unflagged(job: Job) -> Iterator[tuple[StoredImage, str]]:
    """Yield the images that the safety checker has not withheld, with their keys in storage."""
    for image in job.result.images:
        if image.key is not None:
            yield image, image.key


STATUS_OF_FAILURE: Mapping[str, HTTPStatus] = MappingProxyType(
    {
        AdapterFetchFailed.code: HTTPStatus.BAD_GATEWAY,
        AdapterLoadFailed.code: HTTPStatus.UNPROCESSABLE_ENTITY,
        AdapterWithoutEffect.code: HTTPStatus.UNPROCESSABLE_ENTITY,
        AttemptStalled.code: HTTPStatus.SERVICE_UNAVAILABLE,
        DeadlineExceeded.code: HTTPStatus.SERVICE_UNAVAILABLE,
        DeviceFault.code: HTTPStatus.SERVICE_UNAVAILABLE,
        DrawingFailed.code: HTTPStatus.INTERNAL_SERVER_ERROR,
        JobFailed.code: HTTPStatus.INTERNAL_SERVER_ERROR,
        OutOfMemory.code: HTTPStatus.UNPROCESSABLE_ENTITY,
        StorageFault.code: HTTPStatus.SERVICE_UNAVAILABLE,
        WorkerLost.code: HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
"""The status by the code of a job's failure: 422 where another request would help, 5xx where it would not."""


def refusal(job: Job, index: JobIndex, *, waited_s: float) -> Response | None:
    """Return the problem of a job that has no image to return; None if it has one."""
    match job.status:
        case Status.SUCCEEDED:
            return of_flagged(job) if next(unflagged(job), None) is None else None
        case Status.FAILED if job.error is not None:
            return of_failure(job.error)
        case Status.CANCELED:
            return of_canceled(job)
        case _:
            return of_unfinished(job, index.position(job), waited_s)


def of_failure(failure: Failure) -> Response:
    """Return the problem of a failed job, with its code and message."""
    status = STATUS_OF_FAILURE.get(failure.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    problem = Problem(type=type_of(failure.code), title=JobFailed.title, status=status, detail=failure.message)
    return respond(problem)


def of_flagged(job: Job) -> Response:
    """Return the problem of a job all of whose images were withheld."""
    return respond(
        Problem(
            type=type_of("image_flagged"),
            title="The safety checker withheld the image",
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
            detail=f"The safety checker of {job.spec.base_model} flagged every image of this job. Send "
            "another prompt or seed.",
        )
    )


def of_canceled(job: Job) -> Response:
    """Return the problem of a job that was canceled meanwhile."""
    return respond(
        Problem(
            type=type_of("job_canceled"),
            title="The job was canceled",
            status=HTTPStatus.CONFLICT,
            detail=f"Job {job.id} was canceled while this request waited for it. Send the request again.",
        )
    )


def of_unfinished(job: Job, position: int | None, waited_s: float) -> Response:
    """Return the problem of a job that has not ended yet."""
    response = respond(
        Problem(
            type=type_of("not_finished"),
            title="The job has not finished yet",
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            detail=f"Job {job.id} is {job.status} after {waited_s:g} s. It continues: poll "
            "the URL in Location. Repeating the request without an Idempotency-Key would start another job.",
        )
    )
    response.headers["Retry-After"] = str(poll_again_s(position or 0))
    return response
