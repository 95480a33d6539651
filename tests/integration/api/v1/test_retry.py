"""``POST /v1/jobs/{id}/retry`` and ``POST /v1/jobs/retry``, and the list of what failed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from api.retry_commands import retry
from tasks.jobs.job import Job, JobOptions, Lane, Line, Status
from tasks.jobs.result import Failure
from tasks.keys import KeyLimits
from tasks.service import Service
from tests.integration.api.test_key_commands import run
from tests.support.jobs import SPEC, recorded

Fail = Callable[..., Job]
LIMITS = KeyLimits(requests_per_minute=60, queued_jobs=10, pixel_steps_per_day=10**9)


@pytest.fixture
def fail(service: Service, submit: Callable[..., str], claim: Callable[[str], Job]) -> Fail:
    """Submits a job that fails."""

    def fail(code: str = "drawing_failed", **request: Any) -> Job:
        job = claim(submit(**request))
        service.store.fail(job, Failure(code=code, message="It failed."))
        return service.store.get(job.id)

    return fail


def ids(page: Any) -> list[str]:
    return [record["id"] for record in page["jobs"]]


def test_a_failed_job_is_queued_again_as_it_was_and_names_the_first(
    client: FlaskClient, service: Service, fail: Fail
) -> None:
    failed = fail(adapters=[{"ref": "pixel", "scale": 0.5}], seed=3)

    answered = client.post(f"/v1/jobs/{failed.id}/retry")

    assert answered.status_code == 202
    record = client.get(answered.headers["Location"]).get_json()
    assert (record["status"], record["retry_of"]) == ("queued", failed.id)
    assert service.store.get(record["id"]).spec == failed.spec
    assert service.store.get(failed.id) == failed


def test_a_job_that_is_retried_twice_makes_one_new_job(client: FlaskClient, fail: Fail) -> None:
    failed = fail()

    first, second = (client.post(f"/v1/jobs/{failed.id}/retry").get_json()["id"] for _ in range(2))

    assert first == second != failed.id


def test_a_retry_that_failed_is_retried_itself(client: FlaskClient, service: Service, fail: Fail, claim: Any) -> None:
    failed = fail()
    again = claim(client.post(f"/v1/jobs/{failed.id}/retry").get_json()["id"])
    service.store.fail(again, Failure(code="drawing_failed", message="It failed again."))

    third = client.post(f"/v1/jobs/{again.id}/retry").get_json()

    assert third["retry_of"] == again.id


def test_what_has_not_failed_or_is_a_line_of_a_batch_is_not_retried(
    client: FlaskClient, service: Service, submit: Callable[..., str]
) -> None:
    line = Line(batch="b", number=1, custom_id="c")
    of_batch = recorded(service.recorder, SPEC, Lane.INTERACTIVE, JobOptions(line=line))
    claimed = service.store.claim(of_batch.id, "w")
    assert claimed is not None
    service.store.fail(claimed, Failure(code="drawing_failed", message="It failed."))

    assert client.post(f"/v1/jobs/{submit()}/retry").status_code == 409
    assert client.post(f"/v1/jobs/{of_batch.id}/retry").status_code == 409
    assert client.post("/v1/jobs/retry", json={}).get_json()["count"] == 0


def test_anothers_job_is_neither_retried_nor_seen(client: FlaskClient, service: Service, fail: Fail) -> None:
    failed = fail()
    _, secret = service.keys.create("studio", LIMITS)
    headers = {"Authorization": f"Bearer {secret}"}

    assert client.post(f"/v1/jobs/{failed.id}/retry", headers=headers).status_code == 404
    assert client.post("/v1/jobs/retry", json={}, headers=headers).get_json()["count"] == 0
    assert ids(client.get("/v1/jobs?code=drawing_failed", headers=headers).get_json()) == []


def test_the_list_shows_what_failed_with_a_code(client: FlaskClient, fail: Fail, submit: Callable[..., str]) -> None:
    first, _, second = fail(), fail("storage_unavailable"), fail()
    submit()

    page = client.get("/v1/jobs?status=failed&code=drawing_failed&limit=1").get_json()
    rest = client.get(f"/v1/jobs?status=failed&code=drawing_failed&cursor={page['next_cursor']}").get_json()

    assert (ids(page), ids(rest), rest["next_cursor"]) == ([second.id], [first.id], None)
    assert client.get("/v1/jobs?status=queued&code=drawing_failed").status_code == 422


def test_many_are_retried_by_code_and_time_each_once_and_their_number_is_told(
    client: FlaskClient, service: Service, fail: Fail
) -> None:
    early, other, late = fail(), fail("storage_unavailable"), fail()
    assert late.finished_at is not None
    wanted = {"code": "drawing_failed", "since": late.finished_at.isoformat()}

    by_both, by_code, again = (
        client.post("/v1/jobs/retry", json=body).get_json() for body in (wanted, {"code": "drawing_failed"}, wanted)
    )

    assert [one["job"] for one in by_both["retried"]] == [late.id]
    assert [one["job"] for one in by_code["retried"]] == [early.id]
    assert (again["count"], again["stopped"]) == (0, None)
    retries = [service.store.get(one["retry"]) for report in (by_both, by_code) for one in report["retried"]]
    assert [(job.status, job.options.retry_of) for job in retries] == [
        (Status.QUEUED, late.id),
        (Status.QUEUED, early.id),
    ]
    assert service.store.get(other.id).status is Status.FAILED


def test_many_are_retried_within_a_bound(client: FlaskClient, fail: Fail) -> None:
    failed = [fail() for _ in range(3)]

    first, second = (client.post("/v1/jobs/retry", json={"limit": 2}).get_json() for _ in range(2))

    assert [one["job"] for one in first["retried"]] == [job.id for job in failed[:2]]
    assert "Ask once more" in first["stopped"]
    assert ([one["job"] for one in second["retried"]], second["stopped"]) == ([failed[2].id], None)


@pytest.mark.parametrize(
    "body", [{"limit": 0}, {"limit": 101}, {"code": 1}, {"since": "2026-11-27T10:00:00"}, {"x": 1}]
)
def test_a_wrong_body_is_refused(client: FlaskClient, body: Any) -> None:
    assert client.post("/v1/jobs/retry", json=body).status_code == 422


def test_limits_of_the_owner_end_it_and_it_says_so(client: FlaskClient, service: Service, claim: Any) -> None:
    _, secret = service.keys.create("studio", LIMITS.model_copy(update={"queued_jobs": 1}))
    headers = {"Authorization": f"Bearer {secret}"}
    for _ in range(2):
        job_id = client.post("/v1/jobs", json={"prompt": "a red circle"}, headers=headers).get_json()["id"]
        service.store.fail(claim(job_id), Failure(code="drawing_failed", message="It failed."))

    report = client.post("/v1/jobs/retry", json={}, headers=headers).get_json()

    assert report["count"] == 1
    assert "queued" in report["stopped"]


def test_an_operator_retries_the_failed_jobs_of_all_owners(
    service: Service, valkey_url: str, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [fail(), fail("storage_unavailable")]
    since = (jobs[0].finished_at or jobs[0].created_at) - timedelta(hours=1)
    arguments = ("--since", f"{since:%Y-%m-%dT%H:%M:%S}")

    first = run(valkey_url, "stokehold", "retry", *arguments)
    monkeypatch.setattr("api.retry_commands.app", service.celery)
    again = CliRunner().invoke(retry, arguments)

    assert [line.split()[0] for line in first.stdout.splitlines()] == [job.id for job in jobs]
    assert "2 queued again, 0 skipped." in first.stderr
    assert "0 queued again, 0 skipped." in again.stderr
