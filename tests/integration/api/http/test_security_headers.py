"""The headers of every response for browsers."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from werkzeug.test import TestResponse

from api import create_app
from tasks.keys import default_limits
from tasks.service import Service
from tests.support.services import make_service

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NOTHING = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}


def policy(response: TestResponse) -> dict[str, str]:
    """The content security policy, by directive."""
    (written,) = response.headers.getlist("Content-Security-Policy")
    return dict(directive.strip().partition(" ")[::2] for directive in written.split(";"))


def assert_safe(response: TestResponse) -> None:
    assert {name: response.headers.getlist(name) for name in EVERYWHERE} == {
        name: [value] for name, value in EVERYWHERE.items()
    }
    assert policy(response).items() >= NOTHING.items()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", HTTPStatus.OK),
        ("GET", "/docs", HTTPStatus.PERMANENT_REDIRECT),
        ("GET", "/docs/", HTTPStatus.OK),
        ("GET", "/docs/docs.js", HTTPStatus.OK),
        ("GET", "/docs/swagger/css/swagger-ui.css", HTTPStatus.OK),
        ("GET", "/static/page.css", HTTPStatus.OK),
        ("GET", "/openapi.json", HTTPStatus.OK),
        ("GET", "/healthz", HTTPStatus.OK),
        ("GET", "/v1/models", HTTPStatus.OK),
        ("GET", "/v1/jobs/1", HTTPStatus.NOT_FOUND),
        ("GET", "/nothing", HTTPStatus.NOT_FOUND),
        ("DELETE", "/v1/jobs", HTTPStatus.METHOD_NOT_ALLOWED),
        ("OPTIONS", "/v1/jobs", HTTPStatus.OK),
        ("HEAD", "/", HTTPStatus.OK),
        ("POST", "/v1/jobs", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        ("POST", "/v1/batches/uploads", HTTPStatus.CREATED),
    ],
)
def test_every_answer_has_them(client: FlaskClient, method: str, path: str, status: HTTPStatus) -> None:
    response = client.open(path, method=method, buffered=True)

    assert response.status_code == status
    assert_safe(response)


def test_refusals_have_them(client: FlaskClient, service: Service) -> None:
    assert_safe(client.get("/", headers={"Host": "evil.example"}))
    assert_safe(client.post("/v1/jobs", json={"prompt": "p" * 10**6}))
    service.keys.create("ada", default_limits(service.settings))
    assert_safe(client.get("/v1/models"))


def test_without_its_servers_they_are_there_too(tmp_path: Path) -> None:
    client = create_app(make_service(tmp_path)).test_client()

    assert_safe(client.get("/v1/models"))
    assert_safe(client.get("/readyz"))


def test_an_answer_that_is_no_page_may_load_nothing(app: OpenAPI) -> None:
    client = app.test_client()

    for path in ("/v1/models", "/openapi.json", "/nothing", "/static/page.js"):
        assert policy(client.get(path, buffered=True)) == NOTHING


def test_the_page_has_nothing_inline_and_loads_from_here_alone_but_for_images(client: FlaskClient) -> None:
    page = client.get("/")

    assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*src=)", page.text)
    assert policy(page) == {
        **NOTHING,
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": policy(page)["img-src"],
    }


def test_the_page_shows_images_from_where_they_are_stored(client: FlaskClient, service: Service) -> None:
    sources = policy(client.get("/"))["img-src"].split()

    assert sources == ["'self'", "data:", service.settings.s3_endpoint]


def test_the_documentation_runs_no_script_of_its_own(client: FlaskClient) -> None:
    page = client.get("/docs/")

    assert policy(page)["script-src"] == "'self'"
    assert not re.search(r"\son\w+=|<script(?![^>]*src=)", page.text)


@pytest.mark.parametrize("closed", [False, True])
def test_the_page_tells_strangers_of_no_adapter(client: FlaskClient, service: Service, *, closed: bool) -> None:
    if closed:
        service.keys.create("ada", default_limits(service.settings))

    assert "pixel" not in client.get("/").text
