"""The client's server is told that a job has ended, whatever dies in between."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tasks.batches.batch import BatchOptions, BatchStatus
from tasks.errors import AddressRefused, InvalidRequest
from tasks.jobs.keyspace import WEBHOOKS
from tasks.jobs.result import Failure, Result, StoredImage
from tasks.outbound.host_addresses import NO_ADDRESS
from tasks.requests.job import JobRequest
from tasks.service import Service
from tasks.valkey import Valkey
from tasks.webhooks.delivery import RETRY_AFTER_S, TRIES, Delivery
from tests.support.receiver import receiving
from tests.support.services import make_service
from tests.support.webhooks import ended, pass_time, send_due, sender_through

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SETTINGS = {"webhook_secret": SECRET, "webhook_allow_http": True, "webhook_allow_loopback": True}
DONE = Result(images=(StoredImage(key="images/0.png", width=64, height=64, bytes=10, sha256="ab", seed=1),))


@pytest.fixture
def service(valkey: Valkey, valkey_url: str, tmp_path: Path) -> Service:
    return make_service(tmp_path, valkey_url=valkey_url, **SETTINGS)


def only(service: Service) -> Delivery:
    """The one delivery there is."""
    (delivery,) = service.deliveries.page(None, limit=10).deliveries
    return delivery


def verified(message: tuple[str, dict[str, str], bytes]) -> Any:
    """What a receiver reads that checks the signature with the specification's own library."""
    _, headers, body = message
    return Webhook(SECRET).verify(body, headers)


def test_a_delivery_is_signed_tells_the_record_and_has_no_url(service: Service) -> None:
    with receiving(200) as receiver:
        job = service.submissions.submit(JobRequest(prompt="a red circle", webhook_url=receiver.url))
        claimed = service.store.claim(job.id, "w1")
        assert claimed is not None
        service.store.succeed(claimed, DONE, claimed.timings)

        send_due(service)

    message = verified(receiver.received[0])
    assert message["type"] == "job.succeeded"
    assert message["data"]["id"] == job.id
    assert "url" not in message["data"]["images"][0]
    assert receiver.received[0][1]["webhook-id"] == f"msg_{job.id}"
    assert only(service).status == "delivered"


def test_a_failed_job_is_reported_too(service: Service) -> None:
    with receiving(200) as receiver:
        job = service.submissions.submit(JobRequest(prompt="a red circle", webhook_url=receiver.url))
        claimed = service.store.claim(job.id, "w1")
        assert claimed is not None
        service.store.fail(claimed, Failure(code="failed", message="no"))

        send_due(service)

    assert verified(receiver.received[0])["type"] == "job.failed"


def test_a_job_without_webhook_has_no_delivery(service: Service) -> None:
    service.store.cancel(service.submissions.submit(JobRequest(prompt="a red circle")).id)

    send_due(service)

    assert service.deliveries.page(None, limit=10).deliveries == ()


def test_each_end_of_a_batch_is_reported(service: Service) -> None:
    with receiving(200) as receiver:
        service.object_notes.note("batches/b/input.jsonl")
        batch, _ = service.batches.create("b", "batches/b/input.jsonl", BatchOptions(webhook_url=receiver.url))
        for _ in range(2):
            batch = service.batches.transition(batch, BatchStatus.CANCELED)
            send_due(service)
            batch = service.batches.transition(batch, BatchStatus.VALIDATING, {"generation": batch.generation + 1})

    messages = [verified(message) for message in receiver.received]
    assert [message["type"] for message in messages] == ["batch.canceled"] * 2
    assert messages[0]["data"]["id"] == batch.id
    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 2


def test_an_end_that_a_retry_has_overtaken_is_not_reported(service: Service) -> None:
    with receiving(500) as receiver:
        service.object_notes.note("batches/b/input.jsonl")
        batch, _ = service.batches.create("b", "batches/b/input.jsonl", BatchOptions(webhook_url=receiver.url))
        batch = service.batches.transition(batch, BatchStatus.CANCELED)
        send_due(service)
        service.batches.transition(batch, BatchStatus.VALIDATING, {"generation": 1})
        pass_time(service.valkey, RETRY_AFTER_S[0] * 2)

        send_due(service)

    assert len(receiver.received) == 1
    assert only(service).status == "failed"
    assert "tried again" in only(service).attempts[-1].reason


@pytest.mark.parametrize("status", [307, 404, 500])
def test_what_was_not_accepted_comes_again_later_with_the_same_id(service: Service, status: int) -> None:
    with receiving(status, 200) as receiver:
        ended(service, receiver.url)
        send_due(service)
        send_due(service)
        assert len(receiver.received) == 1
        pass_time(service.valkey, RETRY_AFTER_S[0] * 2)

        send_due(service)

    assert [path for path, _, _ in receiver.received] == ["/hook", "/hook"]
    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 1
    assert [attempt.status_code for attempt in only(service).attempts] == [status, 200]
    assert only(service).status == "delivered"


def test_a_receiver_that_never_accepts_is_given_up_after_the_last_try(service: Service) -> None:
    with receiving(500) as receiver:
        ended(service, receiver.url)
        for _ in range(TRIES + 2):
            send_due(service)
            pass_time(service.valkey, RETRY_AFTER_S[-1] * 2)

    assert len(receiver.received) == TRIES
    assert only(service).status == "failed"
    assert only(service).next_attempt_at is None


def test_a_receiver_that_is_gone_is_given_up_at_once(service: Service) -> None:
    with receiving(410) as receiver:
        ended(service, receiver.url)
        send_due(service)

    assert only(service).status == "failed"


def test_an_address_inside_gets_no_byte_and_the_log_says_nothing_of_it(service: Service) -> None:
    def inside(url: str, body: bytes, headers: dict[str, str]) -> int:
        raise AddressRefused("10.1.2.3 is not an address of the public internet.")

    ended(service, "https://database.inside.example/")
    with sender_through(service, inside) as sender:
        sender.round()

    assert only(service).attempts[0].reason == NO_ADDRESS
    assert "10.1.2.3" not in only(service).model_dump_json()


def test_an_end_that_cannot_be_read_stops_none_behind_it(service: Service) -> None:
    with receiving(200) as receiver:
        broken, good = ended(service, receiver.url), ended(service, receiver.url)
        service.valkey.hset(f"stokehold:job:{broken.id}", "spec", "{}")

        send_due(service)

    assert [headers["webhook-id"] for _, headers, _ in receiver.received] == [f"msg_{good.id}"]


def test_an_end_of_a_newer_version_is_reported_by_a_version_that_can_read_it(service: Service) -> None:
    with receiving(200) as receiver:
        job = ended(service, receiver.url)
        service.valkey.hset(f"stokehold:job:{job.id}", "record_version", 1000)
        send_due(service)
        assert receiver.received == []
        service.valkey.hset(f"stokehold:job:{job.id}", "record_version", 1)
        service.valkey.zadd(WEBHOOKS, {job.id: 0}, xx=True)

        send_due(service)

    assert [headers["webhook-id"] for _, headers, _ in receiver.received] == [f"msg_{job.id}"]


@pytest.mark.parametrize(
    ("url", "secret", "reason"),
    [
        ("https://example.com/", None, "no secret"),
        ("http://example.com/", SECRET, "https"),
        ("https://10.0.0.1/", SECRET, "public internet"),
        ("https://10.1/", SECRET, "public internet"),
        ("https://[::ffff:127.0.0.1]/", SECRET, "public internet"),
        ("https://[fec0::1]/", SECRET, "public internet"),
        ("https://user:word@example.com/", SECRET, "neither user nor password"),
        ("https://example.com:port/", SECRET, "not a URL"),
        ("https://example.com:0/", SECRET, "not a URL"),
        ("https://example.com:25/", SECRET, "443"),
        ("https://example.com:70000/", SECRET, "not a URL"),
    ],
)
def test_a_webhook_that_would_never_be_sent_is_refused_at_once(
    tmp_path: Path, url: str, secret: str | None, reason: str
) -> None:
    with pytest.raises(InvalidRequest, match=reason) as caught:
        make_service(tmp_path, webhook_secret=secret).submissions.submit(
            JobRequest(prompt="a red circle", webhook_url=url)
        )

    assert caught.value.field == "webhook_url"
