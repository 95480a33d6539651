"""The least that an API before Celery can be: a Flask view that sends a message of the same task, and nothing else."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from flask import Flask

from tasks.celery import app as celery_app
from tasks.celery import generate

QUEUE = "bare"


def create_app() -> Flask:
    """The WSGI application, served by gunicorn as the API is."""
    app = Flask(__name__)
    celery_app.set_default()

    @app.post("/v1/jobs")
    def submit_job() -> tuple[dict[str, str], int]:
        job_id = uuid.uuid4().hex
        generate.apply_async((job_id,), queue=QUEUE, priority=0)
        return {"id": job_id}, HTTPStatus.ACCEPTED

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        return {"status": "ok"}

    return app
