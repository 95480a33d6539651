"""The clock of Valkey's host is set back, or those of two APIs differ: what was written lies in the future."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import LimitExceeded
from tasks.jobs.job import Job, Status
from tasks.jobs.keyspace import LEASES, UNSENT, job_key
from tasks.keys import ApiKey, KeyLimits
from tasks.service import Service
from tests.support.housekeeping import housekeeping
from tests.support.jobs import SPEC, recorded
from tests.support.services import make_service

LEASE_S = 0.5
STEP_S = 600.0
"""By which the clock was set back."""


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    return make_service(tmp_path, **servers, lease_s=LEASE_S)


def claimed(service: Service) -> Job:
    job = service.store.claim(recorded(service.recorder, SPEC).id, "worker")
    assert job is not None
    return job


def set_back(service: Service, index: str) -> None:
    """Let what an index says be as it looks when the clock is set back."""
    for member, score in list(service.valkey.zscan_iter(index)):
        service.valkey.zadd(index, {member: score + STEP_S})


def test_the_job_of_a_worker_that_died_comes_back_although_the_clock_was_set_back(service: Service) -> None:
    job = claimed(service)
    set_back(service, LEASES)

    housekeeping(service)
    time.sleep(LEASE_S * 1.5)
    housekeeping(service)

    assert service.store.get(job.id).status is Status.QUEUED


def test_a_worker_that_lives_keeps_its_job_although_the_clock_was_set_back(service: Service) -> None:
    job = claimed(service)
    set_back(service, LEASES)

    for _ in range(6):
        housekeeping(service)
        time.sleep(LEASE_S / 4)
        service.store.renew(job.lease)

    assert service.store.get(job.id).status is Status.RUNNING


def test_a_lease_is_as_long_as_its_worker_was_given_it(
    service: Service, tmp_path: Path, servers: dict[str, Any]
) -> None:
    (tmp_path / "longer").mkdir()
    longer = make_service(tmp_path / "longer", **servers, lease_s=60)
    job = claimed(longer)

    housekeeping(service)
    time.sleep(LEASE_S * 1.5)
    housekeeping(service)

    assert service.store.get(job.id).status is Status.RUNNING


def test_a_job_that_was_never_sent_is_sent_although_the_clock_was_set_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.upkeep.housekeeping.UNSENT_AFTER_S", 0.1)
    job = recorded(service.recorder, SPEC)
    set_back(service, UNSENT)

    housekeeping(service)
    time.sleep(0.2)
    housekeeping(service)

    assert service.store.get(job.id).sent_at is not None


def test_a_lost_message_is_sent_again_although_the_clock_was_set_back(service: Service) -> None:
    job = recorded(service.recorder, SPEC)
    service.store.mark_sent(job)
    service.valkey.hset(job_key(job.id), "sent_at", service.valkey.now() + STEP_S)

    housekeeping(service)

    sent_at = service.store.get(job.id).sent_at
    assert sent_at is not None
    assert sent_at.timestamp() <= service.valkey.now()


@pytest.fixture
def key(service: Service) -> ApiKey:
    limits = KeyLimits(requests_per_minute=3, queued_jobs=1, pixel_steps_per_day=1)
    return service.keys.create("a", limits)[0]


def refused(service: Service, key: ApiKey) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as error:
        service.quotas.count_request(key)
    return error.value


def test_a_key_has_one_minute_however_the_clocks_of_apis_differ(
    service: Service, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.quotas.count_request(key)
    with monkeypatch.context() as behind:
        behind.setattr(time, "time", lambda: 0.0)
        service.quotas.count_request(key)
        service.quotas.count_request(key)
        assert 50 < refused(service, key).retry_after_s <= 60

    assert 50 < refused(service, key).retry_after_s <= 60


def test_a_clock_that_is_set_back_locks_no_key_out(service: Service, key: ApiKey) -> None:
    for _ in range(3):
        service.quotas.count_request(key)
    times: Any = service.valkey.lrange(f"stokehold:requests:{key.id}", 0, -1)
    service.valkey.delete(f"stokehold:requests:{key.id}")
    service.valkey.rpush(f"stokehold:requests:{key.id}", *(float(one) + STEP_S for one in times))

    service.quotas.count_request(key)
