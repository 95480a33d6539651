"""Batches over HTTP."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tasks.jobs.result import Failure, Result, StoredImage, Timings
from tasks.keys import KeyLimits
from tasks.service import Service
from tests.support.batches import advance_batches, plan_batches

Send = Callable[..., TestResponse]
LIMITS = KeyLimits(requests_per_minute=60, queued_jobs=10, pixel_steps_per_day=10**9)
IMAGE = StoredImage(key="images/0.png", width=64, height=64, bytes=10, sha256="ab", seed=1)


def body(lines: Sequence[object]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


LINES = body([{"custom_id": f"line {number}", "prompt": "a red circle"} for number in range(1, 5)])


@pytest.fixture
def send(client: FlaskClient) -> Send:
    def send(data: bytes = LINES, query: str = "", **headers: str) -> TestResponse:
        return client.post(f"/v1/batches{query}", data=data, content_type="application/jsonl", headers=headers)

    return send


def draw(service: Service, failing: Sequence[int] = ()) -> None:
    plan_batches(service)
    while service.batches.active():
        advance_batches(service)
        while jobs := service.backfill.claim("demo", "worker"):
            (job,) = jobs
            if job.options.line and job.options.line.number in failing:
                service.store.fail(job, Failure(code="drawing_failed", message="It failed."))
            else:
                service.store.succeed(job, Result(images=(IMAGE,)), Timings(swap=0, draw=1))


def batch_of(client: FlaskClient, answered: TestResponse) -> dict[str, Any]:
    return dict(client.get(answered.headers["Location"]).get_json())


def test_a_file_is_accepted_and_planned(client: FlaskClient, send: Send, service: Service) -> None:
    answered = send()
    plan_batches(service)

    assert answered.status_code == 202
    assert answered.get_json()["status"] == "validating"
    batch = batch_of(client, answered)
    assert batch["status"] == "running"
    assert batch["counts"]["lines"] == batch["counts"]["waiting"] == 4
    assert batch["forecast"]["images"] == 4


def test_the_record_follows_the_lines(client: FlaskClient, send: Send, service: Service) -> None:
    answered = send()
    plan_batches(service)
    advance_batches(service)
    service.backfill.claim("demo", "worker")

    counts = batch_of(client, answered)["counts"]

    assert (counts["waiting"], counts["queued"], counts["running"]) == (0, 3, 1)


def test_the_results_come_in_the_order_of_the_lines(client: FlaskClient, send: Send, service: Service) -> None:
    answered = send()
    draw(service, failing=[3])

    batch = batch_of(client, answered)
    results = client.get(f"/v1/batches/{batch['id']}/results")

    assert (batch["status"], batch["counts"]["succeeded"], batch["counts"]["failed"]) == ("completed", 3, 1)
    assert results.mimetype == "application/jsonl"
    lines = [json.loads(line) for line in results.text.splitlines()]
    assert [line["custom_id"] for line in lines] == [f"line {number}" for number in range(1, 5)]
    assert [line["status"] for line in lines] == ["succeeded", "succeeded", "failed", "succeeded"]
    assert lines[0]["images"][0]["url"].startswith("http")
    with urllib.request.urlopen(batch["errors_url"]) as errors:
        assert json.loads(errors.read())["line"] == 3


def test_lines_that_cannot_be_served_are_reported_by_number(client: FlaskClient, send: Send, service: Service) -> None:
    answered = send(body([{"custom_id": "a", "prompt": "a"}, {"custom_id": "b"}]))
    plan_batches(service)

    batch = batch_of(client, answered)

    assert batch["status"] == "failed"
    assert batch["errors"] == [{"line": 2, "message": "prompt: Field required"}]


def test_the_same_key_gives_the_same_batch(client: FlaskClient, send: Send) -> None:
    first, again = (send(**{"Idempotency-Key": "k"}).get_json()["id"] for _ in range(2))

    assert first == again
    assert len(client.get("/v1/batches").get_json()["batches"]) == 1


def test_a_file_may_go_to_storage_directly(client: FlaskClient, send: Send, service: Service) -> None:
    upload = client.post("/v1/batches/uploads").get_json()
    put = urllib.request.Request(upload["url"], data=LINES, method="PUT", headers={"Content-Type": "application/jsonl"})
    too_early = client.post(f"/v1/batches?upload={upload['id']}")
    with urllib.request.urlopen(put):
        answered = client.post(f"/v1/batches?upload={upload['id']}")
    plan_batches(service)

    assert too_early.status_code == 422
    assert answered.status_code == 202
    assert batch_of(client, answered)["counts"]["lines"] == 4


def test_a_batch_of_an_upload_that_was_not_begun_is_refused(client: FlaskClient) -> None:
    assert client.post("/v1/batches?upload=nobody").status_code == 422


def test_batches_are_listed_newest_first(client: FlaskClient, send: Send) -> None:
    ids = [send().get_json()["id"] for _ in range(3)]

    page = client.get("/v1/batches?limit=2").get_json()
    rest = client.get(f"/v1/batches?before={page['next_before']}").get_json()

    assert [batch["id"] for batch in page["batches"]] == [ids[2], ids[1]]
    assert [batch["id"] for batch in rest["batches"]] == [ids[0]]


def test_cancel_and_retry(client: FlaskClient, send: Send, service: Service) -> None:
    answered = send()
    canceled = client.post(f"{answered.headers['Location']}/cancel")
    again = client.post(f"{answered.headers['Location']}/cancel")
    retried = client.post(f"{answered.headers['Location']}/retry")
    draw(service)

    assert (canceled.status_code, canceled.get_json()["status"]) == (200, "canceled")
    assert again.status_code == 409
    assert retried.status_code == 200
    assert batch_of(client, answered)["counts"]["succeeded"] == 4


def test_its_jobs_are_listed_by_batch_and_status(client: FlaskClient, send: Send, service: Service) -> None:
    batch_id = send().get_json()["id"]
    client.post("/v1/jobs", json={"prompt": "a red circle"})
    plan_batches(service)
    advance_batches(service)
    service.backfill.claim("demo", "worker")

    first = client.get(f"/v1/jobs?batch={batch_id}&limit=3").get_json()
    rest = client.get(f"/v1/jobs?batch={batch_id}&cursor={first['next_cursor']}").get_json()
    running = client.get(f"/v1/jobs?batch={batch_id}&status=running").get_json()
    mixed = client.get("/v1/jobs?limit=1").get_json()

    assert [job["id"] for job in (*first["jobs"], *rest["jobs"])] == [f"{batch_id}-{line}" for line in (4, 3, 2, 1)]
    assert [job["status"] for job in running["jobs"]] == ["running"]
    assert client.get(f"/v1/jobs?limit=9&cursor={mixed['next_cursor']}").status_code == 200
    assert client.get("/v1/jobs?batch=nobody").status_code == 404


def test_another_content_type_is_refused(client: FlaskClient) -> None:
    assert client.post("/v1/batches", json=[]).status_code == 415


def test_a_file_that_is_too_large_leaves_nothing(
    client: FlaskClient, send: Send, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.v1.batches.MAX_BYTES", 100)

    answered = send()

    assert answered.status_code == 413
    assert not list(service.storage.list("batches/"))
    assert client.get("/v1/batches").get_json()["batches"] == []


def test_anothers_batch_is_not_there(client: FlaskClient, send: Send, service: Service) -> None:
    batch_id = send().get_json()["id"]
    _, secret = service.keys.create("studio", LIMITS)

    for path in ("", "/results"):
        found = client.get(f"/v1/batches/{batch_id}{path}", headers={"Authorization": f"Bearer {secret}"})
        assert found.status_code == 404
