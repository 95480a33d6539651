"""Limits of shared resources for each key: the others keep their share."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tasks.batches.batch import BatchStatus
from tasks.errors import LimitExceeded
from tasks.holdings import OPEN_UPLOAD, Holdings, held_keys, stored_key
from tasks.keys import ApiKey, default_limits
from tasks.service import Service
from tests.support.safetensors_files import write_lora

SHA256 = "0" * 64
LINE = b'{"custom_id": "1", "prompt": "a red circle"}\n'

MakeKey = Callable[..., tuple[ApiKey, dict[str, str]]]


@pytest.fixture
def make_key(service: Service) -> MakeKey:
    """Makes a key with these limits, and the header that shows it."""

    def make(**limits: int) -> tuple[ApiKey, dict[str, str]]:
        key, secret = service.keys.create("ada", default_limits(service.settings).model_copy(update=limits))
        return key, {"Authorization": f"Bearer {secret}"}

    return make


def assert_limited(response: TestResponse, limit: str) -> None:
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS, response.text
    assert f"({limit})" in response.get_json()["detail"]
    assert int(response.headers["Retry-After"]) > 0


def begin_upload(client: FlaskClient, key: dict[str, str], size: int = 1) -> TestResponse:
    return client.post("/v1/adapters/uploads", json={"sha256": SHA256, "size_bytes": size}, headers=key)


def test_the_open_uploads_of_a_key_are_limited(client: FlaskClient, make_key: MakeKey) -> None:
    (_, ada), (_, bob) = make_key(open_uploads=2), make_key()

    answers = [begin_upload(client, ada), client.post("/v1/batches/uploads", headers=ada), begin_upload(client, ada)]

    assert [answer.status_code for answer in answers[:2]] == [HTTPStatus.CREATED] * 2
    assert_limited(answers[2], "open_uploads")
    assert_limited(client.post("/v1/batches/uploads", headers=ada), "open_uploads")
    assert begin_upload(client, bob).status_code == HTTPStatus.CREATED


def test_uploads_begun_count_with_the_bytes_that_they_announce(client: FlaskClient, make_key: MakeKey) -> None:
    _, key = make_key(stored_bytes=1000)

    assert begin_upload(client, key, 600).status_code == HTTPStatus.CREATED
    assert_limited(begin_upload(client, key, 600), "stored_bytes")
    assert begin_upload(client, key, 400).status_code == HTTPStatus.CREATED
    assert_limited(client.post("/v1/batches/uploads", headers=key), "stored_bytes")


def test_an_upload_that_was_refused_leaves_nothing(client: FlaskClient, service: Service, make_key: MakeKey) -> None:
    _, key = make_key(open_uploads=1)
    begin_upload(client, key)
    before = set(service.valkey.keys("stokehold:client_upload:*"))

    begin_upload(client, key)

    assert set(service.valkey.keys("stokehold:client_upload:*")) == before


def test_an_upload_that_was_used_makes_room(client: FlaskClient, service: Service, make_key: MakeKey) -> None:
    _, key = make_key(open_uploads=1)
    upload = begin_upload(client, key).get_json()["id"]

    service.valkey.delete(OPEN_UPLOAD + upload)  # as the step does that registers it

    assert begin_upload(client, key).status_code == HTTPStatus.CREATED


def test_many_at_once_get_exactly_what_there_is(app: OpenAPI, make_key: MakeKey) -> None:
    _, key = make_key(open_uploads=5)
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(begin_upload(app.test_client(), key).status_code)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter(statuses) == {HTTPStatus.CREATED: 5, HTTPStatus.TOO_MANY_REQUESTS: 15}


@pytest.fixture
def send(client: FlaskClient, tmp_path: Path) -> Callable[..., TestResponse]:
    """Sends an adapter of so and so many bytes, which it gives too."""
    folder = tmp_path / "sent"
    folder.mkdir()
    write_lora(folder, "sent", sidecar='base_model = "demo"\n')
    content = (folder / "sent.safetensors").read_bytes()

    def send(key: dict[str, str], name: str) -> TestResponse:
        entry = f'{{"name": "{name}", "base_model": "demo"}}'
        with (folder / "sent.safetensors").open("rb") as file:
            return client.post("/v1/adapters", data={"entry": entry, "file": (file, "a.safetensors")}, headers=key)

    send.size = len(content)  # type: ignore[attr-defined]
    return send


def test_the_stored_bytes_of_a_key_are_limited_until_it_removes_some(
    client: FlaskClient, service: Service, make_key: MakeKey, send: Any
) -> None:
    key, header = make_key(stored_bytes=2 * send.size)

    assert [send(header, name).status_code for name in ("one", "two")] == [HTTPStatus.CREATED] * 2
    assert_limited(send(header, "three"), "stored_bytes")
    assert_limited(begin_upload(client, header), "stored_bytes")

    client.delete("/v1/adapters/one", headers=header)
    assert send(header, "three").status_code == HTTPStatus.CREATED
    assert sum(map(int, service.valkey.hvals(stored_key(key.id)))) == 2 * send.size


def submit_batch(client: FlaskClient, key: dict[str, str]) -> TestResponse:
    return client.post("/v1/batches", data=LINE, content_type="application/jsonl", headers=key)


def test_the_unfinished_batches_of_a_key_are_limited(client: FlaskClient, service: Service, make_key: MakeKey) -> None:
    (_, ada), (_, bob) = make_key(waiting_batches=1), make_key()
    first = submit_batch(client, ada).get_json()["id"]

    assert_limited(submit_batch(client, ada), "waiting_batches")
    assert submit_batch(client, bob).status_code == HTTPStatus.ACCEPTED

    service.batches.transition(service.batches.get(first), BatchStatus.CANCELED)
    assert submit_batch(client, ada).status_code == HTTPStatus.ACCEPTED


def test_a_batch_that_is_sent_again_is_the_same_at_the_limit_too(client: FlaskClient, make_key: MakeKey) -> None:
    _, key = make_key(waiting_batches=1)
    headers = {**key, "Idempotency-Key": "once"}

    ids = {submit_batch(client, headers).get_json()["id"] for _ in range(2)}

    assert len(ids) == 1


def test_the_held_responses_of_a_key_are_limited(
    client: FlaskClient, service: Service, make_key: MakeKey, submit: Callable[..., str]
) -> None:
    key, header = make_key(held_responses=2)
    _, other = make_key()
    job = client.post("/v1/jobs", json={"prompt": "a red circle"}, headers=header).get_json()["id"]

    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(service.quotas.holdings.response(key, 60))
        assert_limited(client.post("/models/demo", json={"inputs": "p"}, headers=header), "held_responses")
        assert client.get(f"/v1/jobs/{job}?wait=30", headers=header).status_code == HTTPStatus.OK, "at once"
        with service.quotas.holdings.response(None, 60):
            assert client.get("/v1/models", headers=other).status_code == HTTPStatus.OK

    with service.quotas.holdings.response(key, 60):
        pass


def test_a_response_whose_process_died_is_released_in_time(service: Service, make_key: MakeKey) -> None:
    key, _ = make_key(held_responses=1)
    died = service.quotas.holdings.response(key, 60)
    died.__enter__()  # never left
    with pytest.raises(LimitExceeded), service.quotas.holdings.response(key, 60):
        pass

    held, _ = held_keys("response", key.id)
    service.valkey.zadd(held, dict.fromkeys(cast(list[str], service.valkey.zrange(held, 0, -1)), 1))

    with service.quotas.holdings.response(key, 60):
        pass


@given(steps=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 60)), max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
def test_no_order_of_uploads_goes_beyond_the_limits(
    service: Service, make_key: MakeKey, steps: list[tuple[str, int]]
) -> None:
    key, _ = make_key(open_uploads=3, stored_bytes=100)
    holdings, taken = Holdings(service.valkey), dict[str, int]()

    for upload, size in steps:
        service.valkey.set(OPEN_UPLOAD + upload, "upload")
        fits = upload in taken or (len(taken) < 3 and sum(taken.values()) + size <= 100)
        try:
            holdings.upload(key, upload, size, 60)
        except LimitExceeded:
            assert not fits
        else:
            assert fits
            taken.setdefault(upload, size)
