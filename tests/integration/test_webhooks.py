"""The submitter's server is told that a job has ended, whatever dies in between."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tasks import webhooks
from tasks.batch import BatchStatus, BatchTerms
from tasks.broker import Broker
from tasks.errors import DeliveryFailed, InvalidRequest
from tasks.job import Failure, Job, Result, StoredImage
from tasks.job_keys import WEBHOOKS
from tasks.requests import JobRequest
from tasks.service import Service
from tasks.submission import submit
from tests.support.receiver import Receiver, receiving
from tests.support.services import make_service
from tests.support.waiting import wait_until

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SETTINGS = {"webhook_secret": SECRET, "webhook_allow_http": True, "webhook_allow_loopback": True}
DONE = Result(images=(StoredImage(key="images/0.png", width=64, height=64, bytes=10, sha256="ab", seed=1),))


@pytest.fixture
def service(broker: Broker, valkey_url: str, tmp_path: Path) -> Service:
    return make_service(tmp_path, broker_url=valkey_url, **SETTINGS)


def ended(service: Service, receiver: Receiver) -> Job:
    """A job that has succeeded and whose submitter wants to be told."""
    job = submit(service, JobRequest(prompt="a red circle", webhook_url=receiver.url))
    claimed = service.store.claim(job.id, "w1")
    assert claimed is not None
    service.store.succeed(claimed, DONE, claimed.timings)
    return job


def due(service: Service) -> list[str]:
    return [str(job_id) for job_id in service.broker.zrange(WEBHOOKS, 0, -1)]


def test_a_delivery_is_signed_tells_the_record_and_has_no_url(service: Service) -> None:
    with receiving(200) as receiver:
        job = ended(service, receiver)

        webhooks.deliver(service, job.id)

    _, headers, body = receiver.received[0]
    message = Webhook(SECRET).verify(body, headers)
    assert message["type"] == "job.succeeded"
    assert message["data"]["id"] == job.id
    assert "url" not in message["data"]["images"][0]
    assert headers["webhook-id"] == f"msg_{job.id}"
    assert due(service) == []


def test_a_failed_job_is_told_too(service: Service) -> None:
    with receiving(200) as receiver:
        job = submit(service, JobRequest(prompt="a red circle", webhook_url=receiver.url))
        claimed = service.store.claim(job.id, "w1")
        assert claimed is not None
        service.store.fail(claimed, Failure(code="failed", message="no"))

        webhooks.deliver(service, job.id)

    assert Webhook(SECRET).verify(receiver.received[0][2], receiver.received[0][1])["type"] == "job.failed"


def test_a_job_without_webhook_is_not_on_the_list(service: Service) -> None:
    job = service.store.claim(submit(service, JobRequest(prompt="a red circle")).id, "w1")
    assert job is not None

    service.store.succeed(job, DONE, job.timings)

    assert due(service) == []


def test_the_end_of_a_batch_is_told_each_time_it_comes(service: Service) -> None:
    with receiving(200) as receiver:
        batch = service.batches.create("b", "batches/b/input.jsonl", BatchTerms(webhook_url=receiver.url))
        for _ in range(2):
            batch = service.batches.move(batch, BatchStatus.CANCELED)
            webhooks.deliver(service, due(service)[0])
            batch = service.batches.move(batch, BatchStatus.VALIDATING, {"generation": batch.generation + 1})

    messages = [Webhook(SECRET).verify(body, headers) for _, headers, body in receiver.received]
    assert [message["type"] for message in messages] == ["batch.canceled"] * 2
    assert messages[0]["data"]["id"] == batch.id
    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 2
    assert due(service) == []


@pytest.mark.parametrize("status", [307, 404, 500])
def test_what_was_not_accepted_stays_on_the_list_and_comes_again_with_the_same_id(
    service: Service, status: int
) -> None:
    with receiving(status, 200) as receiver:
        job = ended(service, receiver)
        with pytest.raises(DeliveryFailed, match=str(status)):
            webhooks.deliver(service, job.id)
        assert due(service) == [job.id]

        webhooks.deliver(service, job.id)

    assert [path for path, _, _ in receiver.received] == ["/hook", "/hook"]
    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 1
    assert due(service) == []


def test_a_receiver_that_never_accepts_is_given_up_after_two_hours(service: Service) -> None:
    with receiving(500) as receiver:
        job = ended(service, receiver)
        end = service.store.get(job.id).finished_at
        assert end is not None
        with pytest.raises(DeliveryFailed):
            webhooks.deliver(service, job.id, clock=lambda: end + timedelta(hours=1, minutes=59))
        assert due(service) == [job.id]

        webhooks.deliver(service, job.id, clock=lambda: end + timedelta(hours=2))

    assert len(receiver.received) == 2
    assert due(service) == []


def test_a_round_delivers_what_is_due(service: Service) -> None:
    with receiving(200) as receiver:
        ended(service, receiver)

        webhooks.deliver_due(service)

    assert len(receiver.received) == 1
    assert due(service) == []


def test_what_was_not_accepted_is_tried_again_later_and_not_in_the_next_round(service: Service) -> None:
    with receiving(500, 200) as receiver:
        ended(service, receiver)

        webhooks.deliver_due(service)
        webhooks.deliver_due(service)
        assert len(receiver.received) == 1
        wait_until(lambda: webhooks.deliver_due(service) or due(service) == [])

    assert len(receiver.received) == 2


def test_an_address_inside_is_given_up_without_a_byte(service: Service, valkey_url: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    strict = make_service(inside, broker_url=valkey_url, **{**SETTINGS, "webhook_allow_loopback": False})
    with receiving(200) as receiver:
        job = ended(service, receiver)

        webhooks.deliver(strict, job.id)

    assert receiver.received == []
    assert due(service) == []


@pytest.mark.parametrize(
    ("url", "secret", "reason"),
    [
        ("https://example.com/", None, "no secret"),
        ("http://example.com/", SECRET, "https"),
        ("https://10.0.0.1/", SECRET, "public internet"),
        ("https://[::ffff:127.0.0.1]/", SECRET, "public internet"),
        ("https://user:word@example.com/", SECRET, "neither user nor password"),
        ("https://example.com:port/", SECRET, "not a URL"),
    ],
)
def test_a_webhook_that_would_never_be_sent_is_refused_at_once(
    tmp_path: Path, url: str, secret: str | None, reason: str
) -> None:
    with pytest.raises(InvalidRequest, match=reason) as caught:
        submit(make_service(tmp_path, webhook_secret=secret), JobRequest(prompt="a red circle", webhook_url=url))

    assert caught.value.field == "webhook_url"
