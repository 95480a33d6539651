"""A job that has not begun by its deadline ends, whoever notices first."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tasks.jobs.job import Job, Status
from tasks.requests.job import JobRequest
from tasks.service import Service
from tasks.valkey import Valkey
from tests.support.housekeeping import housekeeping
from tests.support.services import make_service

DEADLINE_S = 0.05


@pytest.fixture
def service(valkey: Valkey, valkey_url: str, tmp_path: Path) -> Service:
    return make_service(tmp_path, valkey_url=valkey_url)


def submitted(service: Service, deadline_s: float) -> Job:
    return service.submissions.submit(JobRequest(prompt="a red circle", deadline_s=deadline_s))


def test_a_claim_that_comes_too_late_fails_the_job(service: Service) -> None:
    job = submitted(service, DEADLINE_S)
    time.sleep(DEADLINE_S)

    claimed = service.store.claim(job.id, "w1")

    assert claimed is None
    error = service.store.get(job.id).error
    assert error is not None
    assert error.code == "deadline_exceeded"
    assert "within 0.05 s" in error.message


def test_housekeeping_fails_a_job_that_no_worker_claims(service: Service) -> None:
    late, patient = submitted(service, DEADLINE_S), submitted(service, 3600)
    time.sleep(DEADLINE_S)

    housekeeping(service)

    assert service.store.get(late.id).status is Status.FAILED
    assert service.store.get(patient.id).status is Status.QUEUED
    assert service.index.waiting("demo") == 1


def test_a_job_that_has_begun_in_time_is_not_bound_any_more(service: Service) -> None:
    job = submitted(service, 3600)
    claimed = service.store.claim(job.id, "w1")
    assert claimed is not None
    service.store.requeue(claimed)

    assert service.index.late(10) == []
    assert not service.valkey.exists("stokehold:deadlines")
