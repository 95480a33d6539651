"""Images that an attempt left in storage: removed once it is over, kept if they are the job's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage import StorageNotReachable
from tasks.jobs.images import attempt_prefix, manifest_key
from tasks.jobs.job import Job
from tasks.jobs.keyspace import UNSETTLED_IMAGES
from tasks.jobs.result import Failure, Result, StoredImage, Timings
from tasks.service import Service
from tests.support.housekeeping import housekeeping
from tests.support.jobs import SPEC, recorded
from tests.support.services import UNREACHABLE, make_service


def uploading(service: Service) -> Job:
    """A job one of whose images is in storage."""
    job = service.store.claim(recorded(service.recorder, SPEC).id, "worker")
    assert job is not None
    service.images.note(job.lease)
    service.storage.put(f"{attempt_prefix(job.lease)}0.png", b"image", content_type="image/png")
    service.storage.put(manifest_key(job.lease), b"{}", content_type="application/json")
    return job


def images(service: Service, job: Job) -> list[str]:
    return list(service.storage.list(f"images/{job.id}/"))


def noted(service: Service) -> int:
    count: Any = service.valkey.scard(UNSETTLED_IMAGES)
    return int(count)


def test_images_of_an_attempt_that_failed_are_removed(service: Service) -> None:
    job = uploading(service)
    service.store.fail(job, Failure(code="failed", message="No."))

    housekeeping(service)

    assert images(service, job) == list(service.storage.list("manifests/")) == []
    assert noted(service) == 0


def test_only_the_images_of_the_attempt_that_succeeded_are_kept(service: Service) -> None:
    job = uploading(service)
    service.store.requeue(job)
    again = service.store.claim(job.id, "other")
    assert again is not None
    service.images.note(again.lease)
    key = f"{attempt_prefix(again.lease)}0.png"
    service.storage.put(key, b"image", content_type="image/png")
    image = StoredImage(key=key, width=64, height=64, bytes=7, sha256="0", seed=1)
    service.store.succeed(again, Result(images=(image,)), Timings())
    assert noted(service) == 1  # the first attempt

    service.images.settle_all()

    assert images(service, job) == [key]
    assert noted(service) == 0


def test_an_attempt_that_still_uploads_is_left_alone(service: Service) -> None:
    job = uploading(service)

    service.images.settle_all()

    assert len(images(service, job)) == 1
    assert noted(service) == 1


def test_storage_that_is_away_is_cleaned_when_it_is_back(
    service: Service, servers: dict[str, Any], tmp_path: Path
) -> None:
    job = uploading(service)
    service.store.requeue(job)
    (tmp_path / "away").mkdir()
    away = make_service(tmp_path / "away", **{**servers, "s3_endpoint": f"http://{UNREACHABLE}"})

    with pytest.raises(StorageNotReachable):
        away.images.settle_all()
    assert noted(service) == 1
    service.images.settle_all()

    assert images(service, job) == []
