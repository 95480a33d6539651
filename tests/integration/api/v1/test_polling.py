"""``GET /v1/jobs/{id}``: the record at each station of a job's life."""

from __future__ import annotations

import hashlib
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI

from api.http.context import EXTENSION
from api.v1.jobs import MAX_WAIT_S
from tasks.jobs.job import Job, Progress
from tasks.jobs.result import Failure, Result, StoredImage, Timings
from tasks.service import Service
from tests.support.waiting import wait_until

Submit = Callable[..., str]
Claim = Callable[[str], Job]

PNG = b"\x89PNG\r\n\x1a\n and the rest"


def stored(service: Service, job: Job) -> StoredImage:
    """An image of the job, in storage."""
    key = f"images/{job.id}/1/0.png"
    service.storage.put(key, PNG, content_type="image/png")
    digest = hashlib.sha256(PNG).hexdigest()
    return StoredImage(key=key, width=64, height=64, bytes=len(PNG), sha256=digest, seed=7)


def test_a_queued_job_knows_its_position(client: FlaskClient, submit: Submit) -> None:
    first, second = submit(), submit()

    assert client.get(f"/v1/jobs/{first}").get_json()["position"] == 0
    assert client.get(f"/v1/jobs/{second}").get_json()["position"] == 1


def test_a_job_moves_up_when_one_before_it_is_claimed(client: FlaskClient, submit: Submit, claim: Claim) -> None:
    first, second = submit(), submit()

    claim(first)

    assert client.get(f"/v1/jobs/{second}").get_json()["position"] == 0


def test_a_running_job_shows_its_worker_and_its_progress(
    client: FlaskClient, service: Service, submit: Submit, claim: Claim
) -> None:
    job_id = submit()
    service.store.renew(claim(job_id).lease, Progress(step=3, of=20))

    record = client.get(f"/v1/jobs/{job_id}").get_json()

    assert record["status"] == "running"
    assert record["position"] is None
    assert record["progress"] == {"step": 3, "of": 20}
    assert record["worker"] == "worker-1"
    assert record["attempt"] == 1
    assert record["started_at"] >= record["created_at"]


def test_a_job_that_succeeded_shows_its_timings_and_a_url_that_opens(
    client: FlaskClient, service: Service, submit: Submit, claim: Claim
) -> None:
    job_id = submit()
    job = claim(job_id)
    timings = Timings(queued=0.5, adapter=0.25, swap=0.125, draw=1.5, publish=0.0625)  # publish: rounded to the ms
    service.store.succeed(job, Result(images=(stored(service, job),)), timings)

    record = client.get(f"/v1/jobs/{job_id}").get_json()

    assert record["status"] == "succeeded"
    shown = {"queued": 0.5, "adapter": 0.25, "swap": 0.125, "draw": 1.5, "publish": 0.062}
    assert {stage: record["timings"][stage] for stage in shown} == shown
    (image,) = record["images"]
    with urllib.request.urlopen(image.pop("url")) as opened:
        assert opened.read() == PNG
    assert image == {
        "width": 64,
        "height": 64,
        "bytes": len(PNG),
        "sha256": hashlib.sha256(PNG).hexdigest(),
        "seed": 7,
        "flagged": False,
    }


def test_a_flagged_image_has_no_url(client: FlaskClient, service: Service, submit: Submit, claim: Claim) -> None:
    job_id = submit()
    flagged = StoredImage(key=None, width=64, height=64, bytes=0, sha256=None, seed=7, flagged=True)
    service.store.succeed(claim(job_id), Result(images=(flagged,)), Timings())

    (image,) = client.get(f"/v1/jobs/{job_id}").get_json()["images"]

    assert (image["url"], image["flagged"]) == (None, True)


def test_a_job_that_failed_says_why(client: FlaskClient, service: Service, submit: Submit, claim: Claim) -> None:
    job_id = submit()
    service.store.fail(claim(job_id), Failure(code="out_of_memory", message="Ask for a smaller image."))

    record = client.get(f"/v1/jobs/{job_id}").get_json()

    assert record["status"] == "failed"
    assert record["error"] == {"code": "out_of_memory", "message": "Ask for a smaller image."}
    assert record["images"] == []


def test_an_unfinished_job_says_when_to_poll_again_and_a_finished_one_does_not(
    client: FlaskClient, service: Service, submit: Submit, claim: Claim
) -> None:
    job_id = submit()
    unfinished = client.get(f"/v1/jobs/{job_id}")
    service.store.succeed(claim(job_id), Result(images=()), Timings())
    finished = client.get(f"/v1/jobs/{job_id}")

    assert unfinished.headers["Retry-After"] == "1"
    assert "Retry-After" not in finished.headers
    assert unfinished.headers["Cache-Control"] == finished.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/v1/jobs/unknown", "/v1/jobs/unknown?wait=30", "/v1/jobs/%00", "/v1/jobs/%FF"])
def test_an_unknown_job_is_404_at_once(client: FlaskClient, path: str) -> None:
    response = client.get(path)

    assert response.status_code == HTTPStatus.NOT_FOUND
    assert response.get_json()["type"] == "urn:stokehold:problem:job_not_found"


@pytest.mark.parametrize(
    ("query", "field"),
    [("wait=31", "wait"), ("wait=-1", "wait"), ("wait=nan", "wait"), ("wait=soon", "wait"), ("wiat=1", "wiat")],
)
def test_a_wrong_wait_is_422_and_names_it(client: FlaskClient, submit: Submit, query: str, field: str) -> None:
    response = client.get(f"/v1/jobs/{submit()}?{query}")

    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in response.get_json()["errors"]] == [field]


def test_waiting_ends_when_the_status_changes(app: OpenAPI, submit: Submit, claim: Claim, service: Service) -> None:
    job_id = submit()
    started = time.monotonic()

    with ThreadPoolExecutor() as threads:
        polling = threads.submit(app.test_client().get, f"/v1/jobs/{job_id}?wait={MAX_WAIT_S}")
        wait_for_subscriber(service, job_id)
        claim(job_id)
        record = polling.result().get_json()

    assert record["status"] == "running"
    assert time.monotonic() - started < MAX_WAIT_S


def test_waiting_ends_with_the_time_when_nothing_changes(client: FlaskClient, submit: Submit) -> None:
    record = client.get(f"/v1/jobs/{submit()}?wait=0.1").get_json()

    assert record["status"] == "queued"


def test_nothing_is_held_for_a_finished_job(
    client: FlaskClient, service: Service, submit: Submit, claim: Claim
) -> None:
    job_id = submit()
    service.store.succeed(claim(job_id), Result(images=()), Timings())
    started = time.monotonic()

    client.get(f"/v1/jobs/{job_id}?wait={MAX_WAIT_S}")

    assert time.monotonic() - started < MAX_WAIT_S


def test_an_answer_comes_at_once_when_too_many_are_held(client: FlaskClient, submit: Submit) -> None:
    job_id = submit()
    held_responses = client.application.extensions[EXTENSION].held_responses
    while held_responses.acquire(blocking=False):
        pass
    started = time.monotonic()

    response = client.get(f"/v1/jobs/{job_id}?wait={MAX_WAIT_S}")

    assert response.get_json()["status"] == "queued"
    assert time.monotonic() - started < MAX_WAIT_S


def wait_for_subscriber(service: Service, job_id: str) -> None:
    """Return when somebody listens for changes of the job."""
    channel = f"stokehold:changes:{job_id}"
    wait_until(lambda: bool(dict(service.valkey.pubsub_numsub(channel))[channel]))
