"""``POST /v1/jobs/{id}/replay``."""

from __future__ import annotations

from collections.abc import Callable

from flask.testing import FlaskClient

from tasks.api_keys import KeyLimits
from tasks.job import Job, Result, Timings
from tasks.service import Service

LIMITS = KeyLimits(requests_per_minute=60, queued_jobs=10, pixel_steps_per_day=10**9)


def test_a_job_that_succeeded_is_queued_again_as_it_was(
    client: FlaskClient, service: Service, submit: Callable[..., str], claim: Callable[[str], Job]
) -> None:
    first = claim(submit(adapters=[{"ref": "pixel", "scale": 0.5}], seed=3))
    service.store.succeed(first, Result(images=()), Timings())

    answered = client.post(f"/v1/jobs/{first.id}/replay")

    assert answered.status_code == 202
    again = service.store.get(client.get(answered.headers["Location"]).get_json()["id"])
    assert again.spec == first.spec
    assert again.terms.replay_of == first.id


def test_a_job_that_waits_is_not_drawn_again(client: FlaskClient, submit: Callable[..., str]) -> None:
    assert client.post(f"/v1/jobs/{submit()}/replay").status_code == 409


def test_anothers_job_is_not_there(client: FlaskClient, service: Service, submit: Callable[..., str]) -> None:
    job_id = submit()
    _, secret = service.keys.create("studio", LIMITS)

    answered = client.post(f"/v1/jobs/{job_id}/replay", headers={"Authorization": f"Bearer {secret}"})

    assert answered.status_code == 404
