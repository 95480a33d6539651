"""``GET /v1/jobs``: one's own jobs, newest first, a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.jobs.job import Job, JobOptions
from tasks.service import Service
from tests.support.jobs import SPEC, recorded

Submit = Callable[..., str]


def ids(page: Any) -> list[str]:
    return [record["id"] for record in page["jobs"]]


def test_pages_follow_one_another_whatever_is_submitted_meanwhile(client: FlaskClient, submit: Submit) -> None:
    jobs = [submit() for _ in range(5)]

    first = client.get("/v1/jobs?limit=2").get_json()
    submit()
    second = client.get(f"/v1/jobs?limit=2&cursor={first['next_cursor']}").get_json()
    last = client.get(f"/v1/jobs?limit=2&cursor={second['next_cursor']}").get_json()

    assert ids(first) + ids(second) + ids(last) == jobs[::-1]
    assert last["next_cursor"] is None


def test_a_record_in_the_list_is_the_jobs_own(client: FlaskClient, submit: Submit) -> None:
    job_id = submit()

    (record,) = client.get("/v1/jobs").get_json()["jobs"]

    assert record == client.get(f"/v1/jobs/{job_id}").get_json()


def test_the_list_shows_one_status_alone_where_asked(
    client: FlaskClient, submit: Submit, claim: Callable[[str], Job]
) -> None:
    queued, running, canceled = submit(), submit(), submit()
    claim(running)
    client.post(f"/v1/jobs/{canceled}/cancel")

    for status, job_id in (("queued", queued), ("running", running), ("canceled", canceled)):
        assert ids(client.get(f"/v1/jobs?status={status}").get_json()) == [job_id]
    assert ids(client.get("/v1/jobs?status=failed").get_json()) == []


def test_jobs_of_another_owner_are_not_seen(client: FlaskClient, service: Service, submit: Submit) -> None:
    recorded(service.recorder, SPEC, options=JobOptions(owner="somebody"))
    mine = submit()

    assert ids(client.get("/v1/jobs").get_json()) == [mine]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("status=lost", "status"),
        ("cursor=x", "cursor"),
        ("cursor=%C3%A4", "cursor"),
        ("sort=age", "sort"),
    ],
)
def test_a_wrong_question_is_422_and_names_the_field(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/v1/jobs?{query}")

    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in response.get_json()["errors"]] == [field]
