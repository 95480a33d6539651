"""A canceled job lets go of the device within one step, and leaves it fit for the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tasks.errors import JobNotFound, StatusConflict
from tasks.jobs.job import Job, Status
from tasks.jobs.result import Result, Timings
from tasks.requests.job import JobRequest
from tasks.service import Service
from tests.support.steps import on_step
from tests.support.waiting import wait_until
from tests.support.warm_workers import warm_worker
from workers.run.runner import JobRunner
from workers.worker import Worker

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]


@pytest.fixture
def worker(service: Service) -> Iterator[Worker]:
    """A worker that listens for canceled jobs already."""
    worker = warm_worker(service)
    worker.cancellations.start()
    wait_until(lambda: dict(service.valkey.pubsub_numsub("stokehold:canceled"))["stokehold:canceled"] == 1)
    yield worker
    worker.cancellations.stop()


@pytest.fixture
def runner(worker: Worker) -> JobRunner:
    return worker.runner


def submitted(service: Service, **request: object) -> Job:
    return service.submissions.submit(
        JobRequest.model_validate({"prompt": "a red circle", "steps": 2, "seed": 7, **request})
    )


def digests(service: Service, job: Job) -> list[str | None]:
    return [image.sha256 for image in service.store.get(job.id).result.images]


def at_step(number: int, action: Callable[[], object]) -> tuple[list[int], Callable[[], None]]:
    """Counts steps, and acts in one of them."""
    steps: list[int] = []

    def count() -> None:
        steps.append(len(steps) + 1)
        if steps[-1] == number:
            action()

    return steps, count


def test_a_queued_job_is_canceled_at_once(service: Service) -> None:
    job = submitted(service)

    canceled = service.store.cancel(job.id)

    assert canceled.status is Status.CANCELED
    assert canceled.finished_at is not None
    assert service.store.claim(job.id, "w1") is None
    assert service.index.waiting("demo") == 0


def test_a_finished_or_unknown_job_cannot_be_canceled(service: Service) -> None:
    job = service.store.claim(submitted(service).id, "w1")
    assert job is not None
    service.store.succeed(job, Result(images=()), Timings())

    with pytest.raises(StatusConflict):
        service.store.cancel(job.id)
    with pytest.raises(JobNotFound):
        service.store.cancel("nobody")
    assert service.store.get(job.id).status is Status.SUCCEEDED


def test_a_canceled_drawing_ends_with_the_step_it_is_in(
    service: Service, runner: JobRunner, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.run.attempt.PROGRESS_PERIOD_S", 3600)  # so that no report of progress meets the cancel
    before, job, after = submitted(service), submitted(service, steps=20), submitted(service)
    runner(before.id)

    def cancel() -> None:
        service.store.cancel(job.id)
        wait_until(lambda: job.id in worker.cancellations)  # a step of a real model lasts longer than this

    steps, count = at_step(3, cancel)
    on_step(runner, count)
    runner(job.id)

    assert steps == [1, 2, 3]
    assert service.store.get(job.id).status is Status.CANCELED
    assert list(service.storage.list(f"images/{job.id}/")) == []
    runner(after.id)
    assert digests(service, after) == digests(service, before) != []


def test_a_cancel_that_was_not_heard_is_met_by_the_next_report_of_progress(
    service: Service, runner: JobRunner, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.run.attempt.PROGRESS_PERIOD_S", 0)
    worker.cancellations.stop()
    job = submitted(service, steps=20)
    steps, count = at_step(3, lambda: service.store.cancel(job.id))
    on_step(runner, count)

    runner(job.id)

    assert steps == [1, 2, 3]


def test_a_job_canceled_while_another_draws_never_begins(service: Service, runner: JobRunner, worker: Worker) -> None:
    drawing, waiting = submitted(service), submitted(service)
    thread = threading.Thread(target=runner, args=(waiting.id,))

    def cancel_the_waiting_one() -> None:
        thread.start()
        wait_until(lambda: service.store.get(waiting.id).status is Status.RUNNING)
        service.store.cancel(waiting.id)
        wait_until(lambda: waiting.id in worker.cancellations)

    steps, count = at_step(1, cancel_the_waiting_one)
    on_step(runner, count)
    runner(drawing.id)
    thread.join()

    assert steps == [1, 2]
    assert service.store.get(drawing.id).status is Status.SUCCEEDED
    assert service.store.get(waiting.id).status is Status.CANCELED


def test_images_of_a_job_canceled_while_it_uploads_are_removed(
    service: Service, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(service)
    put = type(service.storage).put

    def put_and_cancel(*arguments: object, **options: object) -> object:
        stored = put(*arguments, **options)  # type: ignore[arg-type]
        if service.store.get(job.id).status is Status.RUNNING:
            service.store.cancel(job.id)
        return stored

    monkeypatch.setattr(type(service.storage), "put", put_and_cancel)
    runner(job.id)

    assert service.store.get(job.id).status is Status.CANCELED
    assert list(service.storage.list(f"images/{job.id}/")) == []
