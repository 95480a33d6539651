"""What a dead process left behind is brought back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tasks.housekeeping import UNSENT_AFTER_S, housekeeping
from tasks.job import Job, Status
from tasks.requests import JobRequest
from tasks.routing import queue_of
from tasks.service import Service
from tasks.submission import complete, submit
from tests.support.services import NOBODY, make_service

LEASE_S = 0.1


@pytest.fixture
def service(broker: Any, valkey_url: str, tmp_path: Path) -> Service:
    return make_service(tmp_path, broker_url=valkey_url, lease_s=LEASE_S, max_attempts=2)


def messages(service: Service) -> int:
    return service.broker.llen(queue_of("demo"))


def claimed_by_a_worker_that_dies(service: Service, job: Job) -> None:
    assert service.store.claim(job.id, "dead")
    time.sleep(LEASE_S)


def test_the_job_of_a_dead_worker_is_queued_and_sent_again(service: Service) -> None:
    job = submit(service, JobRequest(prompt="a red circle"))
    claimed_by_a_worker_that_dies(service, job)

    housekeeping(service)

    assert service.store.get(job.id).status is Status.QUEUED
    assert messages(service) == 2
    assert service.store.unsent(older_than_s=0) == []


def test_a_job_that_kills_every_worker_fails(service: Service) -> None:
    job = submit(service, JobRequest(prompt="a red circle"))
    for _ in range(2):
        claimed_by_a_worker_that_dies(service, job)
        housekeeping(service)

    failed = service.store.get(job.id)
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error.code == "worker_lost"


def test_a_job_whose_message_was_never_sent_is_sent(service: Service) -> None:
    request = JobRequest(prompt="a red circle")
    job = service.store.create(complete(request, service.base_models.default, (), lot=lambda _: 1))
    time.sleep(UNSENT_AFTER_S)

    housekeeping(service)
    housekeeping(service)

    assert messages(service) == 1
    assert service.store.unsent(older_than_s=0) == []
    assert service.store.get(job.id).status is Status.QUEUED


def test_a_job_that_is_just_being_sent_is_left_alone(service: Service) -> None:
    request = JobRequest(prompt="a red circle")
    service.store.create(complete(request, service.base_models.default, (), lot=lambda _: 1))

    housekeeping(service)

    assert messages(service) == 0


def test_a_broker_that_refuses_the_message_does_not_fail_the_submission(service: Service, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    celery_away = make_service(away, broker_url=f"redis://{NOBODY}/0").celery
    half = Service(**{**vars(service), "celery": celery_away})

    job = submit(half, JobRequest(prompt="a red circle"))

    assert service.store.unsent(older_than_s=0) == [job]
