"""The API for webhooks: a secret, the log, sending one again. Each sees its own alone."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from standardwebhooks import Webhook
from werkzeug.test import TestResponse

from tasks.keys import default_limits
from tasks.service import Service
from tests.support.receiver import receiving
from tests.support.services import make_service
from tests.support.webhooks import send_due


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    return make_service(tmp_path, **servers, webhook_allow_http=True, webhook_allow_loopback=True)


class Caller:
    """A client with a key of its own."""

    def __init__(self, client: FlaskClient, service: Service) -> None:
        self.client = client
        self.key, self.secret = service.keys.create("ada", default_limits(service.settings))
        self.headers = {"Authorization": f"Bearer {self.secret}"}

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, headers=self.headers)

    def post(self, path: str, **fields: object) -> TestResponse:
        return self.client.post(path, headers=self.headers, **({"json": fields} if fields else {}))

    def end_a_job(self, webhook_url: str) -> str:
        """Id of a job that was canceled."""
        job_id = self.post("/v1/jobs", prompt="a red circle", webhook_url=webhook_url).get_json()["id"]
        self.post(f"/v1/jobs/{job_id}/cancel")
        return str(job_id)


MakeCaller = Callable[[], Caller]


@pytest.fixture
def make_caller(client: FlaskClient, service: Service) -> MakeCaller:
    return lambda: Caller(client, service)


def test_the_secret_that_is_shown_verifies_what_comes_and_is_shown_nowhere_else(
    make_caller: MakeCaller, service: Service
) -> None:
    caller = make_caller()
    answer = caller.post("/v1/webhooks/secret")
    secret = answer.get_json()["secret"]
    with receiving(200) as receiver:
        job_id = caller.end_a_job(receiver.url)
        send_due(service)

    _, headers, body = receiver.received[0]
    assert answer.status_code == HTTPStatus.CREATED
    assert answer.headers["Cache-Control"] == "no-store"
    assert Webhook(secret).verify(body, headers)["data"]["id"] == job_id
    for path in ("/v1/webhooks/deliveries", "/v1/jobs", f"/v1/jobs/{job_id}"):
        assert secret not in caller.get(path).text


def test_a_secret_that_is_asked_for_again_under_the_same_key_is_the_same(make_caller: MakeCaller) -> None:
    caller = make_caller()
    headers = {**caller.headers, "Idempotency-Key": "move-1"}

    answers = [caller.client.post("/v1/webhooks/secret", headers=headers) for _ in range(2)]
    other = caller.client.post("/v1/webhooks/secret?both_for_s=0", headers=headers)

    assert answers[0].get_json() == answers[1].get_json()
    assert other.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert other.get_json()["type"] == "urn:stokehold:problem:idempotency_conflict"


def test_a_webhook_is_sent_for_a_key_that_has_not_asked_for_its_secret_yet(
    make_caller: MakeCaller, service: Service
) -> None:
    caller = make_caller()
    with receiving(500, 200) as receiver:
        caller.end_a_job(receiver.url)
        send_due(service)
        secret = caller.post("/v1/webhooks/secret").get_json()["secret"]
        (delivery,) = caller.get("/v1/webhooks/deliveries").get_json()["deliveries"]

        caller.post(f"/v1/webhooks/deliveries/{delivery['id']}/redeliver")
        send_due(service)

    _, headers, body = receiver.received[1]
    assert Webhook(secret).verify(body, headers)


def test_the_log_says_what_became_of_each_try(make_caller: MakeCaller, service: Service) -> None:
    caller = make_caller()
    with receiving(503) as receiver:
        job_id = caller.end_a_job(receiver.url)
        send_due(service)

    (delivery,) = caller.get("/v1/webhooks/deliveries").get_json()["deliveries"]
    (attempt,) = delivery["attempts"]
    assert (delivery["id"], delivery["job"], delivery["batch"]) == (f"msg_{job_id}", job_id, None)
    assert (delivery["event"], delivery["url"], delivery["status"]) == ("job.canceled", receiver.url, "pending")
    assert (attempt["status_code"], attempt["reason"]) == (503, "the receiver answered 503")
    assert delivery["next_attempt_at"] > attempt["at"]
    assert caller.get(f"/v1/webhooks/deliveries/{delivery['id']}").get_json() == delivery


def test_the_log_is_read_page_by_page(make_caller: MakeCaller, service: Service) -> None:
    caller = make_caller()
    with receiving(200) as receiver:
        jobs = [caller.end_a_job(receiver.url) for _ in range(3)]
        send_due(service)

    first = caller.get("/v1/webhooks/deliveries?limit=2").get_json()
    second = caller.get(f"/v1/webhooks/deliveries?limit=2&cursor={first['next_cursor']}").get_json()

    assert sorted(one["job"] for page in (first, second) for one in page["deliveries"]) == sorted(jobs)
    assert second["next_cursor"] is None


def test_a_delivery_that_arrived_can_be_had_again_with_the_same_id(make_caller: MakeCaller, service: Service) -> None:
    caller = make_caller()
    with receiving(200) as receiver:
        job_id = caller.end_a_job(receiver.url)
        send_due(service)

        answer = caller.post(f"/v1/webhooks/deliveries/msg_{job_id}/redeliver")
        send_due(service)

    assert (answer.status_code, answer.get_json()["status"]) == (HTTPStatus.ACCEPTED, "pending")
    assert [headers["webhook-id"] for _, headers, _ in receiver.received] == [f"msg_{job_id}"] * 2
    assert len(caller.get(f"/v1/webhooks/deliveries/msg_{job_id}").get_json()["attempts"]) == 2


def test_what_is_anothers_is_not_there(make_caller: MakeCaller, service: Service) -> None:
    ada, bob = make_caller(), make_caller()
    with receiving(200) as receiver:
        job_id = ada.end_a_job(receiver.url)
        send_due(service)

        path = f"/v1/webhooks/deliveries/msg_{job_id}"
        answers = [bob.get(path), bob.post(f"{path}/redeliver"), bob.get(f"{path}0")]
        send_due(service)

    assert {answer.status_code for answer in answers} == {HTTPStatus.NOT_FOUND}
    assert {answer.get_json()["type"] for answer in answers} == {"urn:stokehold:problem:delivery_not_found"}
    assert bob.get("/v1/webhooks/deliveries").get_json()["deliveries"] == []
    assert len(receiver.received) == 1


@pytest.mark.parametrize("name", ["msg_", "msg_a:b", "job", "msg_*", "msg_" + "a" * 81, "msg_a%0A"])
def test_an_id_that_is_none_reaches_no_record(make_caller: MakeCaller, name: str) -> None:
    caller = make_caller()

    for answer in (
        caller.get(f"/v1/webhooks/deliveries/{name}"),
        caller.post(f"/v1/webhooks/deliveries/{name}/redeliver"),
    ):
        assert answer.status_code == HTTPStatus.NOT_FOUND


def test_without_keys_the_secret_is_the_operators(client: FlaskClient) -> None:
    answer = client.post("/v1/webhooks/secret")

    assert answer.status_code == HTTPStatus.CONFLICT
    assert answer.get_json()["type"] == "urn:stokehold:problem:webhook_secret_fixed"


@pytest.mark.parametrize("path", ["/v1/webhooks/deliveries", "/v1/webhooks/deliveries/msg_a"])
def test_a_stranger_sees_nothing(client: FlaskClient, make_caller: MakeCaller, path: str) -> None:
    make_caller()

    assert client.get(path).status_code == HTTPStatus.UNAUTHORIZED
    assert client.post("/v1/webhooks/secret").status_code == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("url", ["https://bücher.example/", "https://10.0.0.1/", "ftp://example.com/", "https://a b/"])
def test_a_batch_whose_webhook_cannot_be_sent_is_refused(make_caller: MakeCaller, url: str) -> None:
    caller = make_caller()

    answer = caller.client.post(
        "/v1/batches",
        query_string={"webhook_url": url},
        data=b'{"prompt": "a red circle"}\n',
        headers={**caller.headers, "Content-Type": "application/jsonl"},
    )

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
