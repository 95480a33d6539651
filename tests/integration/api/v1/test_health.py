"""Health, and what a client meets when a server that we need is away."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from tasks.loops.rounds import ROUNDS, Round
from tasks.service import Service
from tests.support.services import UNREACHABLE, make_service

VALKEY = "The job store is temporarily unavailable."
STORAGE = "The storage is temporarily unavailable."
AGAIN = "Send the same request again in 2 seconds."


@pytest.fixture
def alone(tmp_path: Path) -> FlaskClient:
    """A client of an application whose servers are all away."""
    return create_app(make_service(tmp_path)).test_client()


def test_a_process_is_healthy_on_its_own(alone: FlaskClient) -> None:
    response = alone.get("/healthz")

    assert (response.status_code, response.json) == (HTTPStatus.OK, {"status": "ok"})


def test_the_service_is_ready_when_valkey_and_storage_are_there(client: FlaskClient) -> None:
    response = client.get("/readyz")

    assert (response.status_code, response.json) == (HTTPStatus.OK, {"status": "ok"})


def test_readiness_names_a_loop_that_is_overdue(client: FlaskClient, service: Service) -> None:
    service.valkey.hset(ROUNDS, "leases", Round(at=0, process="1@gone").model_dump_json())

    response = client.get("/readyz")

    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.get_json()["type"] == "urn:stokehold:problem:loop_overdue"
    assert "leases (last round" in response.get_json()["detail"]


def test_the_list_of_models_has_the_age_of_each_loop(client: FlaskClient, service: Service) -> None:
    service.rounds.finished("leases")

    loops = {loop["loop"]: loop for loop in client.get("/v1/models").get_json()["loops"]}

    assert loops["leases"]["age_s"] is not None
    assert not loops["leases"]["overdue"]
    assert loops["planning"]["age_s"] is None


def test_the_service_is_not_ready_when_nothing_can_be_written(client: FlaskClient, service: Service) -> None:
    service.valkey.config_set("maxmemory", "1")
    try:
        response = client.get("/readyz")
    finally:
        service.valkey.config_set("maxmemory", "0")

    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert VALKEY in response.get_json()["detail"]


def test_readiness_names_all_that_is_away(alone: FlaskClient) -> None:
    response = alone.get("/readyz")

    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.get_json()["detail"] == f"{VALKEY} {STORAGE} {AGAIN}"
    assert response.headers["Retry-After"] == "2"


def test_readiness_names_the_valkey(tmp_path: Path, servers: dict[str, Any]) -> None:
    service = make_service(tmp_path, **{**servers, "valkey_url": f"redis://{UNREACHABLE}/0"})

    response = create_app(service).test_client().get("/readyz")

    assert response.get_json()["detail"] == f"{VALKEY} {AGAIN}"


def test_readiness_names_the_storage(tmp_path: Path, valkey_url: str) -> None:
    service = make_service(tmp_path, valkey_url=valkey_url)

    with service.valkey:
        response = create_app(service).test_client().get("/readyz")

    assert response.get_json()["detail"] == f"{STORAGE} {AGAIN}"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/jobs"), ("GET", "/v1/jobs/1"), ("GET", "/v1/jobs/1?wait=30"), ("GET", "/v1/models")],
)
def test_without_a_valkey_the_answer_is_503_and_hides_its_address(alone: FlaskClient, method: str, path: str) -> None:
    response = alone.open(path, method=method, json={"prompt": "a red circle"} if method == "POST" else None)

    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.content_type == "application/problem+json"
    assert response.get_json()["type"] == "urn:stokehold:problem:job_store_unavailable"
    assert response.headers["Retry-After"] == "2"
    assert UNREACHABLE not in response.text
