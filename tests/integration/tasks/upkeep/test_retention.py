"""Nothing grows without bound: what has been kept long enough goes, with everything that belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import StorageNotReachable
from tasks.errors import JobNotFound
from tasks.jobs.job import Job, JobOptions
from tasks.jobs.result import Result, Timings
from tasks.service import Service
from tests.support.jobs import SPEC, recorded
from tests.support.retention import remove_expired
from tests.support.services import UNREACHABLE, make_service

JOBS = 10_000


@pytest.fixture
def make(servers: dict[str, Any], tmp_path: Path) -> Callable[..., Service]:
    def make(**changed: object) -> Service:
        return make_service(tmp_path, **{**servers, "retention_s": 1, **changed})

    return make


def finished(service: Service, options: JobOptions = JobOptions()) -> Job:  # noqa: B008  (frozen)
    """A job that succeeded; none of its images are stored."""
    job = service.store.claim(recorded(service.recorder, SPEC, options=options).id, "w1")
    assert job is not None
    service.store.succeed(job, Result(images=()), Timings(draw=1))
    return job


def expire_everything(service: Service) -> None:
    """Let every finished job have ended long ago."""
    service.valkey.zunionstore("stokehold:finished", {"stokehold:finished": 0})


def test_an_expired_job_goes_with_its_images(make: Callable[..., Service]) -> None:
    service = make(retention_s=3600)
    old, new = finished(service), finished(service)
    for job in (old, new):
        service.storage.put(f"images/{job.id}/1/0.png", b"png", content_type="image/png")
        service.storage.put(f"manifests/{job.id}/1.json", b"{}", content_type="application/json")
    service.valkey.zadd("stokehold:finished", {old.id: 0})

    remove_expired(service)

    assert list(service.storage.list("")) == [f"images/{new.id}/1/0.png", f"manifests/{new.id}/1.json"]
    assert service.store.get(new.id).id == new.id
    with pytest.raises(JobNotFound):
        service.store.get(old.id)


def test_a_record_outlives_its_images(make: Callable[..., Service]) -> None:
    service = make(s3_endpoint=f"http://{UNREACHABLE}")
    job = finished(service)
    expire_everything(service)

    with pytest.raises(StorageNotReachable):
        remove_expired(service)

    assert service.index.expired(10) == [job.id]


def test_ten_thousand_jobs_leave_nothing_behind(make: Callable[..., Service]) -> None:
    service = make()
    finished(service)  # what stays for good, such as scripts and the measured pace, is there from now on
    expire_everything(service)
    forget_everything(service)
    keys, memory = service.valkey.dbsize(), used_memory(service)

    for number in range(JOBS):
        finished(service, JobOptions(owner=f"key{number % 7}"))
    assert service.valkey.dbsize() > JOBS
    full = used_memory(service)
    expire_everything(service)
    forget_everything(service)

    assert service.valkey.dbsize() == keys
    assert used_memory(service) - memory < (full - memory) / 20


def forget_everything(service: Service) -> None:
    """As retention does, without asking storage ten thousand times."""
    while expired := service.index.expired(1000):
        for job in service.store.existing(expired):
            service.store.forget(job)


def used_memory(service: Service) -> int:
    """Bytes that Valkey has allocated, when it has freed what it frees in the background."""
    service.valkey.execute_command("MEMORY", "PURGE")
    return int(service.valkey.info("memory")["used_memory"])
