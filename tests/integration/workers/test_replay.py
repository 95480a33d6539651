"""A job drawn again, on a real pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.errors import StatusConflict, ValkeyUnavailable
from tasks.jobs.images import attempt_prefix, manifest_key
from tasks.jobs.job import Job
from tasks.jobs.manifest import Manifest, manifest_of
from tasks.jobs.result import ReplayReport
from tasks.jobs.store import JobStore
from tasks.replay import read_manifest, request_of
from tasks.requests.job import JobRequest
from tasks.service import Service
from tests.support.loras import write_noise
from tests.support.pipelines import drawable
from tests.support.services import make_service
from tests.support.warm_workers import warm_worker
from workers.run.runner import JobRunner
from workers.stages.compare import AWAY, GONE, HELD_BACK, UNREADABLE, comparison

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    service = make_service(tmp_path, **servers)
    write_noise(tmp_path / "loras", 1, 2)
    return service


def warm(service: Service, load: Callable[[], Any] = drawable) -> JobRunner:
    return warm_worker(service, load).runner


def drawn(service: Service, runner: JobRunner, **request: Any) -> Job:
    job = service.submissions.submit(
        JobRequest.model_validate({"prompt": "a red circle", "steps": 2, "seed": 7, "images": 2, **request})
    )
    runner(job.id)
    return service.store.get(job.id)


def report(service: Service, runner: JobRunner, first: Job) -> ReplayReport:
    again = service.submissions.replay(first)
    runner(again.id)
    found = service.store.get(again.id).result.replay
    assert found is not None
    return found


def test_the_same_job_gives_the_same_images_whatever_ran_in_between(service: Service) -> None:
    runner = warm(service)
    first = drawn(service, runner, adapters=[{"ref": "noise1"}])
    drawn(service, runner, adapters=[{"ref": "noise2"}], scheduler="euler")

    found = report(service, runner, first)

    assert (found.of, found.identical, found.differs) == (first.id, True, ())
    assert [image and image.largest for image in found.images] == [0, 0]


def test_another_base_is_seen_in_the_images_and_named(service: Service) -> None:
    first = drawn(service, warm(service))

    def altered() -> Any:
        pipeline = drawable()
        with torch.no_grad():
            next(pipeline.unet.parameters()).mul_(1.5)
        return pipeline

    found = report(service, warm(service, altered), first)

    assert found.identical is False
    assert found.images[0] is not None
    assert found.images[0].largest > 0
    assert [fact.name for fact in found.differs] == ["base"]


def test_a_first_job_that_is_gone_is_said(service: Service) -> None:
    runner = warm(service)
    first = drawn(service, runner)
    again = service.submissions.replay(first)
    service.store.forget(first)
    runner(again.id)

    found = service.store.get(again.id).result.replay

    assert found is not None
    assert (found.identical, found.reason) == (None, "The first job has expired.")


def test_images_that_are_gone_are_said(service: Service) -> None:
    runner = warm(service)
    first = drawn(service, runner)
    service.storage.delete(f"images/{first.id}/")

    found = report(service, runner, first)

    assert (found.identical, found.reason) == (None, GONE)


def test_an_image_that_is_spoilt_in_storage_is_said(service: Service) -> None:
    runner = warm(service)
    first = drawn(service, runner)
    service.storage.put(f"{attempt_prefix(first.lease)}0.png", b"no image", content_type="image/png")

    found = report(service, runner, first)

    assert (found.identical, found.reason) == (None, UNREADABLE)


def test_storage_that_is_away_is_said_without_its_address(service: Service, tmp_path: Path) -> None:
    first = drawn(service, warm(service))
    (tmp_path / "away").mkdir()
    away = make_service(tmp_path / "away").storage

    found = comparison(away.get, first, first.result.images)

    assert (found.identical, found.reason) == (None, AWAY)


def test_images_that_were_held_back_are_not_called_identical(service: Service) -> None:
    runner = warm(service)
    shown = drawn(service, runner)

    def flag_everything(image: Any, *_: Any) -> tuple[Any, list[bool]]:
        return image, [True]

    runner.stages.warm.base.pipeline.run_safety_checker = flag_everything
    hidden = drawn(service, runner)

    one_side, both = report(service, runner, shown), report(service, runner, hidden)

    assert (one_side.identical, one_side.images) == (False, (None, None))
    assert (both.identical, both.reason) == (None, HELD_BACK)


def test_a_job_store_that_is_away_is_waited_for(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = warm(service)
    first = drawn(service, runner)
    again = service.submissions.replay(first)
    get = JobStore.get
    failures = iter([ValkeyUnavailable("away")])

    def away_once(store: JobStore, job_id: str) -> Job:
        if job_id == first.id and (failure := next(failures, None)) is not None:
            raise failure
        return get(store, job_id)

    monkeypatch.setattr(JobStore, "get", away_once)

    runner(again.id)

    done = service.store.get(again.id)
    assert (done.attempt, done.result.replay and done.result.replay.identical) == (1, True)


def test_only_what_succeeded_is_drawn_again(service: Service) -> None:
    queued = service.submissions.submit(JobRequest(prompt="a red circle"))

    with pytest.raises(StatusConflict, match="only a job that has succeeded"):
        service.submissions.replay(queued)


def test_the_manifest_lies_beside_the_images_and_in_them(service: Service) -> None:
    first = drawn(service, warm(service), adapters=[{"ref": "noise1"}])
    made = manifest_of(first)

    stored = Manifest.model_validate_json(service.storage.get(manifest_key(first.lease)))
    inside = read_manifest(service.storage.get(f"{attempt_prefix(first.lease)}1.png"))

    assert made == stored
    assert made is not None
    assert inside == made.of_image(seed=8)
    path = service.adapter_folders.path_of(first.spec.adapters[0].adapter)
    assert path is not None
    assert stored.adapter_files == (hashlib.sha256(path.read_bytes()).hexdigest(),)


def test_the_request_of_an_image_gives_the_same_bytes(service: Service) -> None:
    runner = warm(service)
    first = drawn(service, runner, adapters=[{"ref": "noise1", "scale": 0.5}], images=1)
    body = service.storage.get(first.result.images[0].key or "")

    path = service.adapter_folders.path_of(first.spec.adapters[0].adapter)
    assert path is not None
    path.touch()  # another version of the same content

    again = drawn(service, runner, **request_of(read_manifest(body).spec))

    assert service.storage.get(again.result.images[0].key or "") == body
