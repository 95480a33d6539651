"""Ids in URLs that no id of ours looks like: each is answered as one that is unknown, and reaches no other key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tasks.identifiers import NotAnIdentifier, is_identifier
from tasks.jobs.keyspace import channel_of, job_key
from tasks.jobs.line_place import batch_key, cursors_key, ended_key, jobs_key
from tasks.keys import default_limits
from tasks.service import Service

UNKNOWN = "0123456789abcdef0123456789abcdef"
NO_BATCH = "urn:stokehold:problem:batch_not_found"
NOT_IDS = {"filename", "model"}
"""Of Flask's own routes for files, and of ``/models``, whose paths hold references."""

HOSTILE = [
    *("x:parts", "x:jobs", "x:cursors:0", "x%3Aparts", ":", "*", "?", "%3F", "[a]", "{x}", "$", "%24{x}", "'", '"'),
    *("%0A", f"{UNKNOWN}%0A", f"%0A{UNKNOWN}", "%00", f"{UNKNOWN}%00", "%0D%0AX:%20y", "%20", f"{UNKNOWN}%20", "%09"),
    *("..", "%2e%2e", "..%5C..", "-", "_", ".", "~", "%25", "%2500", "%C3%A9", "%E2%80%AE", "%F0%9F%90%8C", "%ff"),
    *("\u0663" * 32, "a" * 65, "a" * 3000, "%00" * 900, "null", "undefined", "-1", "0", "1e9", "%3Cscript%3E", "\\"),
]


def operations(app: OpenAPI) -> Iterator[tuple[str, Rule, str]]:
    """Each operation with an id in its path, once for each such id."""
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            if not rule.arguments & NOT_IDS:
                yield from ((method, rule, argument) for argument in rule.arguments)


def path_of(rule: Rule, argument: str, value: str) -> str:
    """The path of an operation with this for one of its ids, as it is written in a URL."""
    return "".join(
        value if dynamic and part == argument else UNKNOWN if dynamic else part for dynamic, part in rule._trace
    ).removeprefix("|")


def send(client: FlaskClient, method: str, path: str) -> TestResponse:
    json = {"inputs": "a red circle"} if path.startswith("/models/") else None
    return client.open(path, method=method, json=json, buffered=True)


def test_every_operation_with_an_id_is_tried(app: OpenAPI) -> None:
    tried = {(method, rule.rule) for method, rule, _ in operations(app)}

    assert tried >= {
        ("GET", "/v1/jobs/<job_id>"),
        ("POST", "/v1/jobs/<job_id>/replay"),
        ("GET", "/v1/batches/<batch_id>/results"),
        ("DELETE", "/v1/adapters/<name>"),
    }


@pytest.fixture(scope="module")
def unknown_answers() -> dict[tuple[str, str], Any]:
    """The answer to an unknown id, by method and path, once it was asked for."""
    return {}


@pytest.mark.parametrize("value", HOSTILE)
def test_what_is_no_id_is_answered_as_an_unknown_one(
    app: OpenAPI, service: Service, unknown_answers: dict[tuple[str, str], Any], value: str
) -> None:
    client = app.test_client()
    client.get("/v1/adapters")  # from then on it is known what the files in folders are
    before = sorted(service.valkey.keys("stokehold:*"))

    for method, rule, argument in operations(app):
        call = (method, path_of(rule, argument, UNKNOWN))
        if call not in unknown_answers:
            unknown_answers[call] = send(client, *call).get_json()
        unknown = unknown_answers[call]
        answer = send(client, method, path_of(rule, argument, value)).get_json()
        assert answer["type"] in ("about:blank", unknown["type"]), "the first where no route has such a path"
        assert answer["status"] == unknown["status"] == HTTPStatus.NOT_FOUND
    assert sorted(service.valkey.keys("stokehold:*")) == before


@pytest.mark.parametrize("value", [value for value in HOSTILE if not re.fullmatch(r"[\w.-]*", value, re.ASCII)])
@pytest.mark.parametrize("path", ["/models/{}", "/models/{}/name", "/models/owner/{}"])
def test_what_names_no_model_is_the_fault_of_the_request(client: FlaskClient, path: str, value: str) -> None:
    response = send(client, "POST", path.format(value))

    assert response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY), response.text


@pytest.mark.parametrize("suffix", [":parts", ":jobs", ":ended", ":cursors:0", "%0A", ""])
def test_what_lies_beside_a_batch_of_another_is_as_unknown_as_what_does_not_exist(
    client: FlaskClient, service: Service, suffix: str
) -> None:
    (_, ada), (_, bob) = (service.keys.create(name, default_limits(service.settings)) for name in ("ada", "bob"))
    sent = {"data": b'{"custom_id": "1", "prompt": "p"}\n', "content_type": "application/jsonl"}
    batch = client.post("/v1/batches", headers={"Authorization": f"Bearer {ada}"}, **sent).get_json()["id"]
    service.valkey.rpush(f"stokehold:batch:{batch}:parts", "a part")

    answers = [
        client.get(f"/v1/batches/{one}{suffix}", headers={"Authorization": f"Bearer {bob}"}).get_json()
        for one in (batch, UNKNOWN)
    ]

    assert [(answer["status"], answer["type"]) for answer in answers] == [(404, NO_BATCH)] * 2
    assert answers[0]["detail"] == answers[1]["detail"].replace(UNKNOWN, batch)


@pytest.mark.parametrize("parameter", ["cursor", "batch"])
@pytest.mark.parametrize("value", ["x:parts", "*", "%0A", "%00", "AAAA", "%ff", "OTk5OTkuMDAwMDAwOmE6Yg=="])
def test_an_id_among_the_parameters_of_a_list_reaches_no_other_key(
    client: FlaskClient, parameter: str, value: str
) -> None:
    response = client.get(f"/v1/jobs?{parameter}={value}")

    assert response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)


@given(text=st.text())
def test_no_key_is_made_of_what_is_no_id(text: str) -> None:
    made = {}
    for builder in (job_key, channel_of, batch_key, jobs_key, ended_key, lambda text: cursors_key(text, None)):
        try:
            made[builder] = builder(text)
        except NotAnIdentifier:
            assert not is_identifier(text)
    assert all(re.fullmatch(r"[A-Za-z0-9_:-]+", key) for key in made.values())
