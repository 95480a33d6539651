"""The API on a real Valkey and real storage. No worker runs: a test claims and finishes jobs itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI

from api import create_app
from api.http.context import install_service
from tasks.jobs.job import Job
from tasks.service import Service
from tests.support.services import make_service


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Iterator[Service]:
    """A service on an empty Valkey and an empty bucket."""
    service = make_service(tmp_path, **servers)
    with service.valkey, service.celery:
        yield service


@pytest.fixture(scope="session")
def views(tmp_path_factory: pytest.TempPathFactory) -> OpenAPI:
    """The application, made once: its views and their document take 100 ms of CPU."""
    return create_app(make_service(tmp_path_factory.mktemp("views")))


@pytest.fixture
def app(views: OpenAPI, service: Service) -> OpenAPI:
    """The application with the test's own service behind its views."""
    install_service(views, service)
    return views


@pytest.fixture
def client(app: OpenAPI) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def submit(client: FlaskClient) -> Callable[..., str]:
    """Submits a job over HTTP and gives its id."""

    def submit(**fields: object) -> str:
        response = client.post("/v1/jobs", json={"prompt": "a red circle", **fields})
        assert response.status_code == 202, response.text
        return str(response.get_json()["id"])

    return submit


@pytest.fixture
def claim(service: Service) -> Callable[[str], Job]:
    """Does as a worker does that begins with a job."""

    def claim(job_id: str) -> Job:
        job = service.store.claim(job_id, "worker-1")
        assert job is not None
        return job

    return claim
