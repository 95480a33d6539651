"""The answer of ``POST /models/<model>``: the picture, and in headers what one may want to know of it."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Response

from api.pictures import unflagged
from api.waiting import JOB_ID, JOB_ID_HEADER, documented_wait
from tasks.fields import ImageFormat
from tasks.jobs.job import Job
from tasks.service import Service

WARNING = "X-HF-Warning"
"""``huggingface_hub`` writes it to its user's log."""
MAX_WARNING_CHARACTERS = 1000

RESPONSES: dict[Any, Any] = {
    HTTPStatus.OK: {
        "description": "The picture.",
        "headers": {
            JOB_ID: JOB_ID_HEADER,
            "x-compute-time": {"description": "seconds that the drawing took", "schema": {"type": "number"}},
            "x-compute-type": {
                "description": "`cpu` or `gpu`, if its worker is still known",
                "schema": {"type": "string"},
            },
            "x-seed": {"description": "seed of the picture", "schema": {"type": "integer"}},
            WARNING: {"description": "what is doubtful about the adapters", "schema": {"type": "string"}},
        },
        "content": {image_format.content_type: {} for image_format in ImageFormat},
    },
    **documented_wait(HTTPStatus.NOT_ACCEPTABLE),
}


def picture_answer(service: Service, job: Job) -> Response:
    """The picture of a job that has succeeded, and in headers what one may want to know of it."""
    image, key = next(unflagged(job))
    response = Response(service.storage.get(key), content_type=job.spec.image_format.content_type)
    response.cache_control.no_store = True
    told = {
        "x-compute-time": job.timings.draw,
        "x-compute-type": compute_type_of(service, job),
        "x-seed": image.seed,
    }
    response.headers.extend({name: str(value) for name, value in told.items() if value is not None})
    response.headers.extend((WARNING, text) for text in hub_warnings(job.terms.warnings))
    return response


def hub_warnings(warnings: tuple[str, ...]) -> Iterator[str]:
    """A job's warnings, each as ``topic; message`` in what a header may hold; the client shows a topic once."""
    for number, warning in enumerate(warnings):
        line = " ".join(warning.split())[:MAX_WARNING_CHARACTERS]
        text = "".join(character if " " <= character <= "~" else "?" for character in line)
        yield f"{text.partition(':')[0].replace(';', ',')} {number}; {text}"


def compute_type_of(service: Service, job: Job) -> str | None:
    """On what a job was drawn, in the Hub's words; None if its worker is gone."""
    for worker in service.workers.alive(job.spec.base_model):
        if worker.name == job.worker:
            return "cpu" if worker.device == "cpu" else "gpu"
    return None
