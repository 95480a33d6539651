"""Housekeeping brings back the jobs of dead processes."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.client_jobs.specification import complete
from tasks.fields import ImageFormat
from tasks.jobs.job import Job, JobSpec, Lane, Status
from tasks.lanes.queues import queue_of
from tasks.requests.job import JobRequest
from tasks.service import Service
from tasks.upkeep.housekeeping import UNSENT_AFTER_S
from tests.support.housekeeping import housekeeping
from tests.support.jobs import recorded, submitted_to
from tests.support.services import UNREACHABLE, make_service

LEASE_S = 0.1


@pytest.fixture
def service(valkey: Any, valkey_url: str, tmp_path: Path) -> Service:
    return make_service(tmp_path, valkey_url=valkey_url, lease_s=LEASE_S, max_attempts=2)


def on_queue(service: Service) -> int:
    return service.queues.messages("demo")


def job_of(message: Any) -> Any:
    """The id of the job that a message is about."""
    arguments, _, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    return arguments[0]


def claimed_by_a_worker_that_dies(service: Service, job: Job) -> None:
    assert service.store.claim(job.id, "dead")
    time.sleep(LEASE_S)


def test_the_job_of_a_dead_worker_is_queued_and_sent_again(service: Service) -> None:
    job = service.submissions.submit(JobRequest(prompt="a red circle"))
    claimed_by_a_worker_that_dies(service, job)

    housekeeping(service)

    assert service.store.get(job.id).status is Status.QUEUED
    assert on_queue(service) == 2
    assert service.index.unsent(0, 10) == []


def test_a_job_that_kills_every_worker_fails(service: Service) -> None:
    job = service.submissions.submit(JobRequest(prompt="a red circle"))
    for _ in range(2):
        claimed_by_a_worker_that_dies(service, job)
        housekeeping(service)

    failed = service.store.get(job.id)
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error.code == "worker_lost"


def spec_of(service: Service) -> JobSpec:
    model = service.base_models.default
    return complete(JobRequest(prompt="a red circle"), model, (), random_seed=lambda _: 1, image_format=ImageFormat.PNG)


def test_a_job_whose_message_was_never_sent_is_sent(service: Service) -> None:
    job = recorded(service.recorder, spec_of(service))
    time.sleep(UNSENT_AFTER_S)

    housekeeping(service)
    housekeeping(service)

    assert on_queue(service) == 1
    assert service.index.unsent(0, 10) == []
    assert service.store.get(job.id).status is Status.QUEUED


def test_a_job_that_is_just_being_sent_is_left_alone(service: Service) -> None:
    recorded(service.recorder, spec_of(service))

    housekeeping(service)

    assert on_queue(service) == 0


def test_a_valkey_that_refuses_the_message_does_not_fail_the_submission(service: Service, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    celery_away = make_service(away, valkey_url=f"redis://{UNREACHABLE}/0").celery
    half = Service(**{**vars(service), "celery": celery_away})

    job = half.submissions.submit(JobRequest(prompt="a red circle"))

    assert service.index.unsent(0, 10) == [job.id]


def test_a_job_whose_message_a_worker_took_and_lost_is_sent_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.upkeep.housekeeping.LOST_AFTER_S", 0.1)
    jobs = [service.submissions.submit(JobRequest(prompt=f"circle {number}")) for number in range(3)]
    assert job_of(service.valkey.rpop(queue_of("demo"))) == jobs[0].id

    time.sleep(0.1)
    housekeeping(service)
    housekeeping(service)

    assert on_queue(service) == 3
    queued = service.valkey.lrange(queue_of("demo"), 0, -1)
    assert sorted(map(job_of, queued)) == sorted(job.id for job in jobs)


def test_a_job_whose_message_was_just_taken_is_left_alone(service: Service) -> None:
    service.submissions.submit(JobRequest(prompt="a red circle"))
    service.valkey.rpop(queue_of("demo"))

    housekeeping(service)

    assert on_queue(service) == 0


def test_a_backfill_job_has_no_message_and_hides_none_that_is_lost(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.upkeep.housekeeping.LOST_AFTER_S", 0.1)
    service.submissions.submit(JobRequest(prompt="a red circle"))
    submitted_to(service, Lane.BACKFILL, JobRequest(prompt="a red circle"))
    assert on_queue(service) == 1

    time.sleep(0.1)
    housekeeping(service)
    assert on_queue(service) == 1
    service.valkey.rpop(queue_of("demo"))
    housekeeping(service)

    assert on_queue(service) == 1


def test_a_job_that_only_waited_when_its_worker_died_is_not_blamed(service: Service) -> None:
    job = service.submissions.submit(JobRequest(prompt="a red circle"))
    for _ in range(4):
        claimed = service.store.claim(job.id, "dead")
        assert claimed
        service.store.renew(claimed.lease, waits=True)
        time.sleep(LEASE_S)
        housekeeping(service)

    queued = service.store.get(job.id)
    assert (queued.status, queued.attempt, queued.waits) == (Status.QUEUED, 4, False)
