"""Bodies that the API accepts and refuses."""

from __future__ import annotations

from http import HTTPStatus
from io import BytesIO

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import MAX_BODY_BYTES
from api.http.problems import MAX_FIELD_ERRORS

SECRET = "postgres://user:hunter2@10.0.0.7"


def post(client: FlaskClient, body: bytes, content_type: str = "application/json") -> TestResponse:
    return client.post("/v1/jobs", data=body, content_type=content_type)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_content_type_is_415(client: FlaskClient, content_type: str) -> None:
    response = post(client, b'{"prompt": "a red circle"}', content_type)

    assert response.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert "application/json" in response.get_json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"prompt=a+red+circle",
        b'{"prompt": "\xff"}',
        b'{"prompt": "a lone surrogate: \\ud800"}',
        b'{"prompt": "a red circle", "guidance_scale": NaN}',
        b'{"prompt": "a red circle", "guidance_scale": -Infinity}',
        b'{"prompt": "a red circle", "seed": ' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'["a red circle"]',
        b'"a red circle"',
        b'"{\\"prompt\\": \\"a red circle\\"}"',
        b"null",
    ],
)
def test_what_is_no_json_object_is_400(client: FlaskClient, body: bytes) -> None:
    response = post(client, body)

    assert response.status_code == HTTPStatus.BAD_REQUEST
    assert response.content_type == "application/problem+json"
    assert "JSON" in response.get_json()["detail"]


def test_a_number_beyond_every_float_is_422(client: FlaskClient) -> None:
    response = post(client, b'{"prompt": "a red circle", "guidance_scale": 1e999}')

    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert response.get_json()["errors"] == [{"field": "guidance_scale", "reason": "Input should be a finite number"}]


def test_a_body_over_the_limit_is_413_and_learns_the_limit(client: FlaskClient) -> None:
    response = post(client, b" " * (MAX_BODY_BYTES + 1))

    assert response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert str(MAX_BODY_BYTES) in response.get_json()["detail"]


def test_a_body_that_comes_in_chunks_is_bounded_too(client: FlaskClient) -> None:
    def send(body: bytes) -> int:
        chunks, kind = {"wsgi.input_terminated": True}, "application/json"
        response = client.post("/v1/jobs", input_stream=BytesIO(body), content_type=kind, environ_overrides=chunks)
        return response.status_code

    assert send(b'{"prompt": "a red circle"}') == HTTPStatus.ACCEPTED
    assert send(b'{"prompt": "' + b" " * MAX_BODY_BYTES) == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_what_is_echoed_of_a_wrong_request_is_bounded(client: FlaskClient) -> None:
    response = client.post("/v1/jobs", json={f"unknown{'x' * 200}{number}": SECRET for number in range(100)})

    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert len(response.get_json()["errors"]) == MAX_FIELD_ERRORS
    assert max(len(error["field"]) for error in response.get_json()["errors"]) == 100
    assert SECRET not in response.text
