"""``POST /v1/jobs/{id}/replay``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flask.testing import FlaskClient

from api import create_app
from tasks.base_models.registry import BaseModels
from tasks.jobs.job import Job
from tasks.jobs.result import Result, Timings
from tasks.keys import KeyLimits
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
    assert again.options.replay_of == first.id


def test_a_job_that_waits_is_not_drawn_again(client: FlaskClient, submit: Callable[..., str]) -> None:
    assert client.post(f"/v1/jobs/{submit()}/replay").status_code == 409


def test_anothers_job_is_not_there(client: FlaskClient, service: Service, submit: Callable[..., str]) -> None:
    job_id = submit()
    _, secret = service.keys.create("studio", LIMITS)

    answered = client.post(f"/v1/jobs/{job_id}/replay", headers={"Authorization": f"Bearer {secret}"})

    assert answered.status_code == 404


def test_a_replay_counts_and_is_queued_once_for_an_idempotency_key(
    client: FlaskClient, service: Service, claim: Callable[[str], Job]
) -> None:
    _, secret = service.keys.create("studio", LIMITS.model_copy(update={"queued_jobs": 1}))
    headers = {"Authorization": f"Bearer {secret}"}
    job_id = client.post("/v1/jobs", json={"prompt": "a red circle"}, headers=headers).get_json()["id"]
    service.store.succeed(claim(job_id), Result(images=()), Timings())
    path, once = f"/v1/jobs/{job_id}/replay", {**headers, "Idempotency-Key": "once"}

    first, same, other = (client.post(path, headers=sent) for sent in (once, once, headers))
    submission = client.post("/v1/jobs", json={"prompt": "a red circle"}, headers=once)

    assert [answered.status_code for answered in (first, same, other)] == [202, 202, 429]
    assert first.get_json()["id"] == same.get_json()["id"] != job_id
    assert submission.get_json()["type"] == "urn:stokehold:problem:idempotency_conflict"


def test_what_the_base_models_no_longer_allow_is_refused(
    service: Service, submit: Callable[..., str], claim: Callable[[str], Job]
) -> None:
    job = claim(submit(width=128))
    service.store.succeed(job, Result(images=()), Timings())
    demo, sdxl = service.base_models
    small = demo.model_copy(update={"limits": demo.limits.model_copy(update={"max_side": 64})})
    renamed = sdxl.model_copy(update={"aliases": ("demo",)})

    for model, reason in ((renamed, "not served here any more"), (small, "width must be from 32 to 64")):
        answered = (
            create_app(replace(service, base_models=BaseModels((model,))))
            .test_client()
            .post(f"/v1/jobs/{job.id}/replay")
        )

        assert answered.status_code == 422
        assert reason in answered.get_json()["detail"]
