"""The worker's side of a job's life: a real pipeline, a real job store, real storage."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tasks.jobs.job import Job, JobSpec, Status
from tasks.jobs.result import SwapWay
from tasks.lanes.queues import queue_of
from tasks.lanes.worker_registry import WorkerMemory, WorkerNote
from tasks.replay import read_manifest
from tasks.requests.job import JobRequest
from tasks.service import Service
from tests.support.jobs import recorded
from tests.support.loras import random_lora, write, write_noise
from tests.support.pipelines import drawable
from tests.support.services import make_service
from tests.support.steps import on_step
from tests.support.warm_workers import warm_worker
from workers.run.runner import JobRunner
from workers.stages.draw import DrawnImage, Session

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

PROMPT = "a red circle on a blue background"


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    service = make_service(tmp_path, **servers)
    write_noise(tmp_path / "loras", 1, 2)
    return service


@pytest.fixture
def runner(service: Service) -> JobRunner:
    return warm_worker(service).runner


def submitted(service: Service, **request: Any) -> Job:
    return service.submissions.submit(JobRequest.model_validate({"prompt": PROMPT, "steps": 2, "seed": 7, **request}))


def images(service: Service, job: Job) -> list[Image.Image]:
    keys = [image.key for image in service.store.get(job.id).result.images]
    return [Image.open(BytesIO(service.storage.get(key))) for key in keys if key is not None]


def stored(service: Service, job: Job) -> list[str]:
    return list(service.storage.list(f"images/{job.id}/"))


def test_a_job_becomes_images_in_storage(service: Service, runner: JobRunner) -> None:
    job = submitted(service, images=2)

    runner(job.id)

    done = service.store.get(job.id)
    first, second = images(service, job)
    assert (done.status, done.worker, done.attempt) == (Status.SUCCEEDED, "demo-1@here", 1)
    assert (first.size, first.format) == ((64, 64), "PNG")
    assert first.tobytes() != second.tobytes()
    assert [image.seed for image in done.result.images] == [7, 8]
    assert None not in done.timings.model_dump().values()


def test_each_image_carries_the_job_that_draws_it_again(service: Service, runner: JobRunner) -> None:
    job = submitted(service, images=2, adapters=[{"ref": "noise1", "scale": 0.5}])
    runner(job.id)
    _, second = images(service, job)

    spec = read_manifest(service.storage.get(service.store.get(job.id).result.images[1].key or "")).spec
    replayed = recorded(service.recorder, spec)
    runner(replayed.id)

    assert images(service, replayed)[0].tobytes() == second.tobytes()


def test_a_job_without_adapters_is_drawn_by_a_fresh_base_whatever_ran_before(
    service: Service, runner: JobRunner
) -> None:
    before = submitted(service)
    runner(before.id)
    for ref in ("noise1", "noise2"):
        other = submitted(service, adapters=[{"ref": ref}], scheduler="euler")
        runner(other.id)
        assert images(service, other)[0].tobytes() != images(service, before)[0].tobytes()

    after = submitted(service)
    runner(after.id)

    assert images(service, after)[0].tobytes() == images(service, before)[0].tobytes()


def test_the_record_says_what_the_adapters_did(service: Service, runner: JobRunner) -> None:
    first = submitted(service, adapters=[{"ref": "noise1"}])
    same = submitted(service, adapters=[{"ref": "noise1"}])
    runner(first.id)
    runner(same.id)

    (receipt,) = service.store.get(first.id).result.receipts
    assert receipt.ref == "noise1"
    assert receipt.matched
    assert receipt.relative_change
    assert service.store.get(first.id).timings.swap_way is SwapWay.MERGED
    assert service.store.get(same.id).timings.swap_way is SwapWay.KEPT


def test_the_record_says_which_base_was_drawn_with(service: Service, runner: JobRunner) -> None:
    plain = submitted(service)
    changed = submitted(service, adapters=[{"ref": "noise1"}])
    runner(plain.id)
    runner(changed.id)

    before, after = (service.store.get(job.id).result.base for job in (plain, changed))
    assert before is not None
    assert after is not None
    assert before.fingerprint == after.fingerprint == runner.stages.warm.base.fingerprint
    assert (before.swaps_since_check, after.swaps_since_check) == (0, 1)


def test_progress_is_reported_while_it_draws(service: Service, runner: JobRunner) -> None:
    job = submitted(service, steps=3)
    seen: list[Any] = []
    on_step(runner, lambda: seen.append(service.store.get(job.id).progress))

    runner(job.id)

    assert seen[0] is None
    assert (seen[1].step, seen[1].of) == (1, 3)


def test_a_duplicate_message_is_dropped(service: Service, runner: JobRunner) -> None:
    job = submitted(service)
    runner(job.id)
    once = service.store.get(job.id)

    runner(job.id)

    assert service.store.get(job.id) == once


def test_an_attempt_that_lost_its_lease_leaves_nothing_behind(service: Service, runner: JobRunner) -> None:
    job = submitted(service)
    on_step(runner, lambda: steal(service, job))

    runner(job.id)

    now = service.store.get(job.id)
    assert (now.status, now.worker, now.attempt) == (Status.RUNNING, "other", 2)
    assert stored(service, job) == []


def steal(service: Service, job: Job) -> None:
    if (running := service.store.get(job.id)).worker != "other":
        service.store.requeue(running)
        service.store.claim(job.id, "other")


def test_a_worker_that_shuts_down_requeues_unstarted_jobs(service: Service, runner: JobRunner) -> None:
    drawing, waiting = submitted(service), submitted(service)
    thread = threading.Thread(target=runner, args=(waiting.id,))
    on_step(runner, lambda: stop_once(runner, thread))

    runner(drawing.id)
    thread.join()

    assert service.store.get(drawing.id).status is Status.SUCCEEDED
    assert service.store.get(waiting.id).status is Status.QUEUED
    assert service.valkey.llen(queue_of("demo")) == 3


def stop_once(runner: JobRunner, waiting: threading.Thread) -> None:
    if not runner.shutdown.graceful.is_set():
        waiting.start()
        runner.shutdown.graceful.set()


def test_a_broken_adapter_fails_its_job_alone(service: Service, runner: JobRunner, tmp_path: Path) -> None:
    flawed = random_lora(drawable())
    key = next(key for key in flawed if key.endswith("to_q.lora_A.weight"))
    flawed[key] *= float("nan")
    write(flawed, tmp_path / "loras" / "flawed.safetensors").with_suffix(".toml").write_text('base_model = "demo"\n')
    bad, good = submitted(service, adapters=[{"ref": "flawed"}]), submitted(service)

    runner(bad.id)
    runner(good.id)

    error = service.store.get(bad.id).error
    assert error is not None
    assert error.code == "adapter_load_failed"
    assert "not finite numbers" in error.message
    assert service.store.get(good.id).status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (torch.OutOfMemoryError(), "out_of_memory"),
        (ValueError("height must be divisible by 8"), "drawing_failed"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"), "drawing_failed"),
    ],
)
def test_what_follows_from_the_request_fails_that_job_alone_and_at_once(
    service: Service, runner: JobRunner, raised: Exception, code: str
) -> None:
    on_step(runner, raising(raised, 1))
    bad, good = submitted(service), submitted(service)

    runner(bad.id)
    runner(good.id)

    failure = service.store.get(bad.id).error
    assert failure is not None
    assert failure.code == code
    assert service.store.get(good.id).status is Status.SUCCEEDED


MACHINE_FAULTS = [
    (RuntimeError("CUDA error: device-side assert triggered"), "device_fault"),
    (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), "device_fault"),
    (RuntimeError("no kernel"), "drawing_failed"),
    (KeyError("unet"), "drawing_failed"),
]


@pytest.mark.parametrize(("raised", "code"), MACHINE_FAULTS)
def test_what_the_request_does_not_explain_gives_the_job_back_and_fails_it_after_the_last_try(
    service: Service, runner: JobRunner, monkeypatch: pytest.MonkeyPatch, raised: Exception, code: str
) -> None:
    fail_drawings(monkeypatch, raised, of="strange")
    job = submitted(service, prompt="strange")

    runner(job.id)
    once = service.store.get(job.id)
    runner(job.id)
    runner(job.id)

    assert (once.status, once.failed_on) == (Status.QUEUED, ("demo-1@here",))
    failure = service.store.get(job.id).error
    assert failure is not None
    assert failure.code == code


def test_a_job_that_failed_on_this_machine_is_left_to_another_worker_while_there_is_one(
    service: Service, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_drawings(monkeypatch, RuntimeError("CUDA error: an illegal memory access was encountered"), of="strange")
    job = submitted(service, prompt="strange")
    service.workers.note(worker_note("other"))

    runner(job.id)
    runner(job.id)
    left = service.store.get(job.id)
    service.workers.note(worker_note("other", unhealthy="its device is lost"))
    monkeypatch.undo()
    runner(job.id)

    assert (left.status, left.attempt) == (Status.QUEUED, 1)
    assert service.store.get(job.id).status is Status.SUCCEEDED


def worker_note(name: str, unhealthy: str | None = None) -> WorkerNote:
    memory = WorkerMemory(weights=0, pristine=0, adapters=0)
    return WorkerNote(name=name, base_model="demo", device="cpu", memory=memory, unhealthy=unhealthy)


def fail_drawings(monkeypatch: pytest.MonkeyPatch, error: Exception, *, of: str) -> None:
    """Let the drawings of this prompt fail; the worker's own test image is drawn."""
    draw = Session.draw_one_of_each

    def draw_or_fail(session: Session, specs: Sequence[JobSpec], number: int) -> list[DrawnImage]:
        if any(of in spec.prompt for spec in specs):
            raise error
        return draw(session, specs, number)

    monkeypatch.setattr(Session, "draw_one_of_each", draw_or_fail)


def raising(error: Exception, times: int) -> Callable[[], None]:
    """Raises this error the first times that it is called."""
    errors = iter([error] * times)

    def step() -> None:
        if (raised := next(errors, None)) is not None:
            raise raised

    return step


def test_a_drawing_that_overflows_fails_and_names_the_strength_of_its_adapter(
    service: Service, runner: JobRunner, tmp_path: Path
) -> None:
    strong = {key: torch.full_like(value, 1e16) for key, value in random_lora(drawable()).items()}
    write(strong, tmp_path / "loras" / "strong.safetensors").with_suffix(".toml").write_text('base_model = "demo"\n')
    bad, good = submitted(service, adapters=[{"ref": "strong", "scale": 2}]), submitted(service)

    runner(bad.id)
    runner(good.id)

    failure = service.store.get(bad.id).error
    assert failure is not None
    assert failure.code in {"drawing_failed", "adapter_load_failed"}
    assert "'strong' at 2" in failure.message
    assert service.store.get(good.id).status is Status.SUCCEEDED


def test_an_image_of_one_colour_is_stored_with_a_warning(
    service: Service, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(service, adapters=[{"ref": "noise1", "scale": 3}])
    draw = Session.draw_one_of_each

    def black(session: Session, specs: Sequence[JobSpec], number: int) -> list[DrawnImage]:
        return [replace(one, image=Image.new("RGB", one.image.size)) for one in draw(session, specs, number)]

    monkeypatch.setattr(Session, "draw_one_of_each", black)
    runner(job.id)

    done = service.store.get(job.id)
    assert done.status is Status.SUCCEEDED
    assert done.result.warnings == ("Image 0 is of one colour throughout. Lower the scale of 'noise1' (3).",)


def test_a_worker_that_cannot_draw_its_known_image_loads_the_base_again(runner: JobRunner) -> None:
    first = runner.stages.warm.base
    on_step(runner, raising(RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), 1))

    assert runner.health.is_sound()
    assert runner.stages.warm.base is not first
    assert runner.stages.warm.reloads == 1


def test_a_worker_that_still_cannot_draw_it_leaves_its_queue_and_says_why(
    runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_drawings(monkeypatch, RuntimeError("CUDA error: an illegal memory access was encountered"), of="")

    assert not runner.health.is_sound()
    assert runner.health.unhealthy == "It cannot draw its test image."
    assert runner.shutdown.graceful.is_set()


def test_a_flagged_image_is_reported_and_not_stored(service: Service, runner: JobRunner) -> None:
    pipeline = runner.stages.warm.base.pipeline

    def flag_everything(image: Any, *_: Any) -> tuple[Any, list[bool]]:
        return image, [True]

    pipeline.run_safety_checker = flag_everything
    job = submitted(service)

    runner(job.id)

    (image,) = service.store.get(job.id).result.images
    assert (image.flagged, image.key) == (True, None)
    assert stored(service, job) == []


def test_the_message_of_a_job_is_its_id_alone_as_json(service: Service) -> None:
    job = submitted(service)

    (message,) = (json.loads(body) for body in service.valkey.lrange(queue_of("demo"), 0, -1))
    assert message["content-type"] == "application/json"
    assert job.id in message["headers"]["argsrepr"]
