"""One Idempotency-Key makes one job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import create_app
from tasks.jobs.idempotency import KEEP_S
from tasks.service import Service
from tasks.valkey import Valkey
from tests.support.services import make_service

BODY = {"prompt": "a red circle"}


@pytest.fixture
def service(valkey: Valkey, valkey_url: str, tmp_path: Path) -> Service:
    return make_service(tmp_path, valkey_url=valkey_url)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return create_app(service).test_client()


def post(client: FlaskClient, key: str, body: Any = BODY) -> TestResponse:
    return client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})


def test_fifty_simultaneous_requests_make_one_job(service: Service) -> None:
    app = create_app(service)

    with ThreadPoolExecutor(50) as pool:
        responses = list(pool.map(lambda _: post(app.test_client(), "key"), range(50)))

    assert {response.status_code for response in responses} == {202}
    assert len({response.get_json()["id"] for response in responses}) == 1
    assert len({response.get_json()["seed"] for response in responses}) == 1
    assert len(list(service.valkey.scan_iter("stokehold:job:*"))) == 1
    assert service.queues.messages("demo") == 1


def test_the_same_request_written_otherwise_gets_the_first_job(client: FlaskClient) -> None:
    first = post(client, "key")

    again = post(client, "key", {**BODY, "images": 1, "seed": None})

    assert again.status_code == 202
    assert again.get_json() == first.get_json()
    assert again.headers["Location"] == first.headers["Location"]


def test_another_request_under_the_same_key_is_refused(client: FlaskClient) -> None:
    post(client, "key")

    refused = post(client, "key", {"prompt": "a blue square"})

    assert refused.status_code == 422
    assert refused.get_json()["type"] == "urn:stokehold:problem:idempotency_conflict"


def test_other_keys_and_no_key_make_jobs_of_their_own(client: FlaskClient) -> None:
    answers = [post(client, "key"), post(client, "other"), *(client.post("/v1/jobs", json=BODY) for _ in range(2))]

    assert len({answer.get_json()["id"] for answer in answers}) == 4


def test_the_key_expires_by_itself_and_goes_with_its_job(client: FlaskClient, valkey: Valkey) -> None:
    first = post(client, "key").get_json()["id"]
    (key,) = valkey.scan_iter("stokehold:idempotency:*")
    assert 0 < valkey.ttl(key) <= KEEP_S

    valkey.delete(f"stokehold:job:{first}")

    assert post(client, "key").get_json()["id"] != first


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "schlüssel"])
def test_a_key_that_is_too_long_or_not_printable_is_refused(client: FlaskClient, key: str) -> None:
    assert post(client, key).status_code == 422
