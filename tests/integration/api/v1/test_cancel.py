"""``POST /v1/jobs/{id}/cancel``."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from flask.testing import FlaskClient

from tasks.jobs.job import Job


def test_a_queued_or_running_job_is_canceled_and_answered(
    client: FlaskClient, submit: Callable[..., str], claim: Callable[[str], Job]
) -> None:
    queued, running = submit(), submit()
    claim(running)

    for job_id in (queued, running):
        response = client.post(f"/v1/jobs/{job_id}/cancel")

        assert response.status_code == HTTPStatus.OK
        assert (response.get_json()["id"], response.get_json()["status"]) == (job_id, "canceled")
        assert client.get(f"/v1/jobs/{job_id}").get_json() == response.get_json()


def test_a_finished_job_is_409(client: FlaskClient, submit: Callable[..., str]) -> None:
    job_id = submit()
    client.post(f"/v1/jobs/{job_id}/cancel")

    response = client.post(f"/v1/jobs/{job_id}/cancel")

    assert response.status_code == HTTPStatus.CONFLICT
    assert response.get_json()["type"] == "urn:stokehold:problem:status_conflict"


def test_an_unknown_job_is_404(client: FlaskClient) -> None:
    response = client.post("/v1/jobs/nobody/cancel")

    assert response.status_code == HTTPStatus.NOT_FOUND
