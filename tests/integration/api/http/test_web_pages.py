"""A service without API keys refuses pages of other sites."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from werkzeug.test import TestResponse

from api import create_app
from tasks.keys import default_limits
from tasks.service import Service
from tests.support.services import make_service

REBOUND = "evil.example:8000"
CROSS_SITE = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
TEXT = {"Content-Type": "text/plain"}
OPEN_PATHS = ("/", "/docs", "/docs/", "/docs/docs.js", "/static/page.js", "/openapi.json", "/healthz", "/readyz")


@pytest.fixture
def key(service: Service) -> str:
    """The secret of a key, which closes the service."""
    return service.keys.create("ada", default_limits(service.settings))[1]


@pytest.fixture
def make_client(servers: dict[str, Any], tmp_path: Path) -> Callable[..., FlaskClient]:
    """Makes a client of a service with these settings."""

    def make(**settings: Any) -> FlaskClient:
        return create_app(make_service(tmp_path, **servers, **settings)).test_client()

    return make


def problem_type(response: TestResponse) -> str:
    return str(response.get_json()["type"]).removeprefix("urn:stokehold:problem:")


def stored(service: Service) -> set[str]:
    """What a request could have left behind, but for what it read of the operator's own files."""
    keys = {str(key) for key in service.valkey.keys("stokehold:*")} - {"stokehold:probe"}
    return {key for key in keys if not key.startswith("stokehold:file:")}


@pytest.mark.parametrize("path", [*OPEN_PATHS, "/v1/jobs", "/v1/models", "/v1/adapters", "/nothing", "//v1/jobs"])
def test_a_name_that_was_made_to_lead_here_reads_nothing(client: FlaskClient, path: str) -> None:
    response = client.get(path, headers={"Host": REBOUND})

    assert (response.status_code, problem_type(response)) == (HTTPStatus.MISDIRECTED_REQUEST, "host_not_trusted")


def test_a_name_that_was_made_to_lead_here_changes_nothing(client: FlaskClient, service: Service) -> None:
    response = client.post("/v1/jobs", json={"prompt": "a red circle"}, headers={"Host": REBOUND})

    assert response.status_code == HTTPStatus.MISDIRECTED_REQUEST
    assert stored(service) == set()


@pytest.mark.parametrize(
    "host",
    [
        *("localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "evil.example:localhost"),
        *("192.0.2.7:8000", "0.0.0.0:8000", "[2001:db8::1]:8000", "[::1", "2130706433", "localhost, evil.example", " "),
    ],
)
def test_a_host_that_only_looks_local_is_refused(client: FlaskClient, host: str) -> None:
    assert client.get("/v1/jobs", headers={"Host": host}).status_code == HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "draw.localhost:80", "127.0.0.1:9", "127.8.8.8:8000", "[::1]:8000", "[::1]"]
)
def test_loopback_is_trusted_under_any_name_and_port(client: FlaskClient, host: str) -> None:
    assert client.get("/v1/jobs", headers={"Host": host}).status_code == HTTPStatus.OK


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_health_check_may_use_any_address(client: FlaskClient, path: str) -> None:
    assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == HTTPStatus.OK


def test_an_operator_may_trust_more_hosts(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(trusted_hosts="draw.example, .intern.example,192.0.2.7")

    trusted = ("draw.example", "draw.example:8443", "a.intern.example", "192.0.2.7:80")
    answers = [client.get("/v1/jobs", headers={"Host": host}).status_code for host in (*trusted, "evil.example")]

    assert answers == [HTTPStatus.OK] * 4 + [HTTPStatus.MISDIRECTED_REQUEST]


def test_with_keys_a_service_answers_to_any_host(client: FlaskClient, key: str) -> None:
    response = client.get("/v1/jobs", headers={"Host": "draw.example", "Authorization": f"Bearer {key}"})

    assert response.status_code == HTTPStatus.OK


SIMPLE: dict[str, tuple[str, dict[str, str], bytes]] = {
    "a form that uploads an adapter": ("/v1/adapters", FORM, b"--x--\r\n"),
    "JSON as plain text": ("/v1/jobs", TEXT, b'{"prompt": "a red circle"}'),
    "JSON": ("/v1/jobs", {"Content-Type": "application/json"}, b'{"prompt": "a red circle"}'),
    "an empty form": ("/v1/batches/uploads", {"Content-Type": "application/x-www-form-urlencoded"}, b""),
    "a pin": ("/v1/adapters/pixel/pin", TEXT, b""),
    "an image": ("/models/demo", {"Content-Type": "application/json"}, b'{"inputs": "a red circle"}'),
}


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize(
    "page",
    [
        CROSS_SITE,
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "null"},
    ],
)
def test_a_page_of_another_site_changes_nothing(
    client: FlaskClient, service: Service, name: str, page: dict[str, str]
) -> None:
    path, headers, body = SIMPLE[name]

    response = client.post(path, headers={**headers, **page}, data=body)

    assert (response.status_code, problem_type(response)) == (HTTPStatus.FORBIDDEN, "cross_site_request")
    assert stored(service) == set()


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
def test_no_operation_that_changes_something_is_open_to_other_sites(app: OpenAPI, method: str) -> None:
    client = app.test_client()
    rules = [rule for rule in app.url_map.iter_rules() if method in (rule.methods or ())]

    for rule in rules:
        _, path = rule.build(dict.fromkeys(rule.arguments, "x")) or ("", "")
        assert client.open(path, method=method, headers=CROSS_SITE).status_code == HTTPStatus.FORBIDDEN, path


def test_no_navigation_has_an_effect(app: OpenAPI, service: Service) -> None:
    client = app.test_client()

    for rule in app.url_map.iter_rules():
        if "GET" in (rule.methods or ()):
            _, path = rule.build(dict.fromkeys(rule.arguments, "x")) or ("", "")
            client.get(path, headers=CROSS_SITE, buffered=True)

    assert stored(service) == set()


@pytest.mark.parametrize(
    "page",
    [{}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, {"Origin": "http://localhost"}],
)
def test_its_own_page_and_clients_that_are_no_browser_may_submit(client: FlaskClient, page: dict[str, str]) -> None:
    response = client.post("/v1/jobs", json={"prompt": "a red circle"}, headers=page)

    assert response.status_code == HTTPStatus.ACCEPTED


def test_no_other_origin_is_allowed_to_read(client: FlaskClient) -> None:
    preflight = client.options("/v1/jobs", headers={**CROSS_SITE, "Access-Control-Request-Method": "POST"})

    assert not [name for name, _ in preflight.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("credentials", [{"Cookie": "key={key}"}, {"Authorization": "Basic {key}"}])
def test_a_key_is_taken_only_as_browsers_never_send_it_by_themselves(
    client: FlaskClient, key: str, credentials: dict[str, str]
) -> None:
    headers = {name: value.format(key=key) for name, value in credentials.items()}

    response = client.get("/v1/jobs", headers=headers)

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.headers["WWW-Authenticate"] == "Bearer", "to which no browser opens a dialogue"


@pytest.mark.parametrize("path", ["/v1//models", "/docs"])
def test_no_redirect_leads_to_the_host_that_a_request_names(client: FlaskClient, key: str, path: str) -> None:
    response = client.get(path, headers={"Host": "evil.example", "X-Forwarded-Host": "worse.example"})

    assert response.status_code == HTTPStatus.PERMANENT_REDIRECT
    assert response.headers["Location"] == {"/v1//models": "/v1/models", "/docs": "/docs/"}[path]


def test_no_answer_repeats_the_host_that_a_request_names(client: FlaskClient, key: str) -> None:
    hosts = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Authorization": f"Bearer {key}"}

    answers = [client.get(path, headers=hosts, buffered=True) for path in (*OPEN_PATHS, "/v1/models", "/nothing")]
    answers.append(client.post("/v1/jobs", json={"prompt": "a red circle"}, headers=hosts))

    for answer in answers:
        assert "evil.example" not in answer.text + json.dumps(dict(answer.headers))
    assert answers[-1].headers["Location"].startswith("/v1/jobs/")


@pytest.mark.parametrize("prefix", ["", "/draw"])
def test_behind_a_prefix_links_begin_with_it_whether_or_not_the_proxy_removes_it(
    make_client: Callable[..., FlaskClient], prefix: str
) -> None:
    client = make_client(api_root_path="/draw")

    submitted = client.post(f"{prefix}/v1/jobs", json={"prompt": "a red circle"})
    docs = client.get(f"{prefix}/docs")

    assert submitted.headers["Location"] == f"/draw/v1/jobs/{submitted.get_json()['id']}"
    assert docs.headers["Location"] == "/draw/docs/"
    assert client.get(f"{prefix}/").status_code == HTTPStatus.OK


def test_the_prefix_of_a_request_is_not_believed(client: FlaskClient) -> None:
    headers = {"X-Forwarded-Prefix": "/evil", "X-Script-Name": "/evil", "Script-Name": "/evil"}

    submitted = client.post("/v1/jobs", json={"prompt": "a red circle"}, headers=headers)

    assert submitted.headers["Location"].startswith("/v1/jobs/")
