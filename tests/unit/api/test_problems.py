"""Whatever goes wrong, a problem document leaves the API, and nothing in it that is nobody's business."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api import create_app
from storage import StorageMisconfigured
from tasks.errors import AdapterNotFound, ConfigurationError, HubUnavailable
from tests.support.services import make_service

SECRET = "postgres://user:hunter2@10.0.0.7"

FAILURES = {
    "request": AdapterNotFound("There is no adapter 'x'.", field="adapters.0.ref"),
    "hub": HubUnavailable(f"no answer from {SECRET}"),
    "storage": StorageMisconfigured(f"no answer from {SECRET}"),
    "ours": ConfigurationError(f"a bug, with {SECRET}"),
    "foreign": RuntimeError(f"a bug, with {SECRET}"),
}


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """A client of an application that fails on demand and whose servers are all away."""
    app = create_app(make_service(tmp_path))

    def fail(how: str) -> str:
        raise FAILURES[how]

    app.add_url_rule("/fail/<how>", "fail", fail)
    return app.test_client()


def test_an_error_of_ours_names_its_type_its_field_and_its_reason(client: FlaskClient) -> None:
    response = client.get("/fail/request")

    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert response.content_type == "application/problem+json"
    assert response.json == {
        "type": "urn:stokehold:problem:adapter_not_found",
        "title": "The adapter does not exist",
        "status": 422,
        "detail": "There is no adapter 'x'.",
        "errors": [{"field": "adapters.0.ref", "reason": "There is no adapter 'x'."}],
    }


@pytest.mark.parametrize(
    ("how", "code", "title"),
    [
        ("hub", "hub_unavailable", "The model hub is temporarily unavailable"),
        ("storage", "storage_unavailable", "The storage is temporarily unavailable"),
    ],
)
def test_a_server_that_is_away_is_named_and_its_address_is_not(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, how: str, code: str, title: str
) -> None:
    response = client.get(f"/fail/{how}")

    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.headers["Retry-After"] == "2"
    assert response.get_json()["type"] == f"urn:stokehold:problem:{code}"
    assert response.get_json()["title"] == title
    assert "10.0.0.7" not in response.text
    assert "10.0.0.7" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("how", ["ours", "foreign"])
def test_a_bug_is_logged_with_its_traceback_and_answered_without(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    response = client.get(f"/fail/{how}")

    assert response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert response.content_type == "application/problem+json"
    assert response.get_json()["title"] == "Internal Server Error"
    assert SECRET not in response.text
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]


def test_what_is_answered_after_a_bug_leads_to_it_in_the_log(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    detail = client.get("/fail/foreign").get_json()["detail"]

    [reference] = re.findall(r"[0-9a-f]{32}", detail)
    assert reference in caplog.text


def test_an_unknown_path_is_404(client: FlaskClient) -> None:
    response = client.get("/v1/pictures")

    assert response.status_code == HTTPStatus.NOT_FOUND
    assert response.content_type == "application/problem+json"
    assert response.get_json()["type"] == "about:blank"


def test_a_wrong_method_is_405_and_names_the_right_ones(client: FlaskClient) -> None:
    response = client.delete("/v1/jobs")

    assert response.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert response.content_type == "application/problem+json"
    assert "POST" in response.headers["Allow"]
