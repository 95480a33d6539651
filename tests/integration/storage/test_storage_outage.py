"""Storage that is unavailable, or refuses, in any stage of a job: it is waited for, and no record names it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import ObjectNotFound, S3Storage, StorageNotReachable
from storage.client import PROMPT, connect
from tasks.adapters.catalogue.entry import CatalogueAdapter, Entry
from tasks.jobs.job import Job, Lane, Status
from tasks.objects.storage_config import storage_config
from tasks.requests.job import JobRequest
from tasks.service import Service
from tests.support.broken_storage import refusing_storage
from tests.support.jobs import submitted_to
from tests.support.loras import write_noise
from tests.support.services import make_service
from tests.support.warm_workers import warm_worker
from workers.run.runner import JobRunner

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    service = make_service(tmp_path, **servers, max_attempts=1, storage_wait_s=5)
    write_noise(tmp_path / "loras", 1)
    return service


@pytest.fixture
def entry(service: Service, tmp_path: Path) -> CatalogueAdapter:
    body = (tmp_path / "loras" / "noise1.safetensors").read_bytes()
    return service.registrations.register_file(Entry(name="sent", base_model="demo"), io.BytesIO(body), None)


@pytest.fixture
def runner(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobRunner:
    monkeypatch.setattr("workers.worker.HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return warm_worker(service).runner


def submitted(service: Service, lane: Lane = Lane.INTERACTIVE, *adapters: str) -> Job:
    request = {"prompt": "a red circle", "steps": 2, "seed": 7, "adapters": [{"ref": ref} for ref in adapters]}
    return submitted_to(service, lane, JobRequest.model_validate(request))


def unavailable(monkeypatch: pytest.MonkeyPatch, operation: str, times: int) -> Callable[[], int]:
    """Lets an operation fail so often; how often it was tried is what this returns."""
    real, tries = getattr(S3Storage, operation), []

    def flaky(storage: S3Storage, *arguments: Any, **options: Any) -> Any:
        tries.append(arguments)
        if len(tries) <= times:
            raise StorageNotReachable("away")
        return real(storage, *arguments, **options)

    monkeypatch.setattr(S3Storage, operation, flaky)
    return lambda: len(tries)


@pytest.mark.parametrize("operation", ["size", "download", "put"])
def test_a_job_waits_for_storage_in_every_stage(
    service: Service, runner: JobRunner, entry: CatalogueAdapter, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    tried = unavailable(monkeypatch, operation, times=2)
    job = submitted(service, Lane.INTERACTIVE, entry.name)

    runner(job.id)

    done = service.store.get(job.id)
    assert (done.status, done.attempt) == (Status.SUCCEEDED, 1)
    assert tried() > 2


def test_the_lines_of_a_batch_wait_too(
    service: Service, runner: JobRunner, entry: CatalogueAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [submitted(service, Lane.BACKFILL, entry.name) for _ in range(2)]
    unavailable(monkeypatch, "download", times=2)

    runner.run_jobs(service.backfill.claim("demo", "demo-1@here", 2))

    assert [service.store.get(job.id).status for job in jobs] == [Status.SUCCEEDED] * 2


def test_a_replay_waits_until_the_first_images_can_be_had(
    service: Service, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = submitted(service)
    runner(first.id)
    again = service.submissions.replay(service.store.get(first.id))
    unavailable(monkeypatch, "get", times=2)

    runner(again.id)

    report = service.store.get(again.id).result.replay
    assert report is not None
    assert report.identical is True


REFUSALS = [
    (503, "SlowDown"),
    (403, "AccessDenied"),
    (403, "InvalidAccessKeyId"),
    (403, "SignatureDoesNotMatch"),
    (404, "NoSuchBucket"),
    (400, "ExpiredToken"),
    (400, "EntityTooLarge"),
    (502, None),
]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
@pytest.mark.parametrize("with_adapter", [True, False], ids=["fetching", "publishing"])
def test_no_record_names_the_storage(
    *,
    service: Service,
    runner: JobRunner,
    entry: CatalogueAdapter,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str | None,
    with_adapter: bool,
) -> None:
    monkeypatch.setattr(
        "workers.run.stages.StorageRetry.call", lambda _, step: step()
    )  # the waiting is tried above, and takes long
    job = submitted(service, Lane.INTERACTIVE, *([entry.name] if with_adapter else []))
    config = storage_config(service.settings)

    with refusing_storage(status=status, code=code) as endpoint:
        monkeypatch.setattr(service.storage, "_client", connect(config, endpoint, PROMPT))
        runner(job.id)

    failed = service.store.get(job.id)
    assert failed.error is not None
    insides = (endpoint, "127.0.0.1", config.bucket, config.access_key or "", "STOKEHOLD", code or "502", "adapters/")
    assert [word for word in insides if word in failed.error.message] == []


def test_a_file_that_is_gone_fails_its_job_at_once(
    service: Service, runner: JobRunner, entry: CatalogueAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(service, Lane.INTERACTIVE, entry.name)

    def gone(*_: Any) -> None:
        raise ObjectNotFound("gone")

    monkeypatch.setattr(S3Storage, "download", gone)
    runner(job.id)

    error = service.store.get(job.id).error
    assert error is not None
    assert (error.code, "is missing" in error.message) == ("adapter_fetch_failed", True)
