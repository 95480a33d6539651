"""Workers that are killed, frozen and told to end, at every stage of a job."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

import pytest

from stack.parts import Parts
from tasks.jobs.job import Job, Lane, Status
from tasks.service import Service
from tests.faults.conftest import LEASE_S, assert_drawn_once, images_of
from tests.support.gates import HUGE, POISON
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess

pytestmark = [pytest.mark.torch, pytest.mark.slow]

Start = Callable[..., WorkerProcess]
Submit = Callable[..., Job]
Ended = Callable[[Job], Job]

STAGES = ("prepare", "swap", "draw", "uploaded", "finish")


def gone(worker: WorkerProcess) -> bool:
    return worker.is_gone


def status(service: Service, job: Job) -> Status:
    return service.store.get(job.id).status


def test_a_worker_killed_in_any_stage_costs_its_job_an_attempt_and_leaves_nothing(
    start: Start, submit: Submit, ended: Ended, service: Service, parts: Parts
) -> None:
    parts.freeze("housekeeping")  # or a victim would get the job of the one before it
    killed = {}
    for stage in STAGES:
        victim = start(stage)
        job = submit(adapters=[{"ref": "neon"}])
        victim.wait_for_job_at(stage)
        assert bool(images_of(service, job)) == (stage in {"uploaded", "finish"})
        victim.kill()
        killed[stage] = job
    parts.thaw("housekeeping")

    start()

    for job in killed.values():
        assert ended(job).attempt == 2
        assert_drawn_once(service, job)


def test_the_late_result_of_a_frozen_worker_is_refused_and_removed(
    start: Start, submit: Submit, ended: Ended, service: Service
) -> None:
    frozen = start("upload")
    job = submit()
    frozen.wait_for_job_at("upload")
    frozen.signal(signal.SIGSTOP)
    other = start()
    done = ended(job)

    frozen.open("upload")
    frozen.signal(signal.SIGCONT)
    wait_until(lambda: "succeeded in" in frozen.log, timeout_s=60)  # Celery's word for a task that is over

    assert "nothing of attempt 1 is published" in frozen.log or "Attempt 1 no longer owns" in frozen.log
    assert service.store.get(job.id) == done
    assert f"-{other.pid}@" in str(done.worker)
    assert_drawn_once(service, job)


def test_a_job_that_kills_every_worker_fails_and_the_queue_behind_it_goes_on(
    start: Start, submit: Submit, ended: Ended, service: Service
) -> None:
    poison, behind = submit(prompt=POISON), submit()

    for _ in range(3):
        worker = start()
        wait_until(partial(gone, worker), timeout_s=60)
    failed = ended(poison)

    assert failed.error is not None
    assert (failed.error.code, failed.attempt) == ("worker_lost", 3)
    start()
    assert ended(behind).status is Status.SUCCEEDED


def test_a_graceful_shutdown_finishes_the_drawing_and_requeues_waiting_jobs(
    start: Start, submit: Submit, ended: Ended, service: Service
) -> None:
    worker = start("draw")
    drawing = submit()
    worker.wait_for_job_at("draw")
    waiting = [submit(), submit()]
    wait_until(lambda: all(status(service, job) is Status.RUNNING for job in waiting))

    worker.signal(signal.SIGTERM)
    wait_until(lambda: all(status(service, job) is Status.QUEUED for job in waiting))
    assert status(service, drawing) is Status.RUNNING
    worker.open("draw")

    assert ended(drawing).status is Status.SUCCEEDED
    wait_until(lambda: worker.is_gone, timeout_s=LEASE_S + 10)
    start()
    assert [ended(job).status for job in waiting] == [Status.SUCCEEDED, Status.SUCCEEDED]


def test_a_worker_that_shuts_down_takes_no_further_backfill_job(
    start: Start, submit: Submit, ended: Ended, service: Service
) -> None:
    worker = start("draw")
    jobs = [submit(Lane.BACKFILL, seed=seed) for seed in range(4)]
    worker.wait_for_job_at("draw")

    worker.signal(signal.SIGTERM)
    wait_until(lambda: "Warm shutdown" in worker.log)
    worker.open("draw")

    wait_until(lambda: worker.is_gone, timeout_s=LEASE_S + 10)
    assert sorted(status(service, job) for job in jobs) == [Status.QUEUED] * 3 + [Status.SUCCEEDED]
    start()
    assert [ended(job).status for job in jobs] == [Status.SUCCEEDED] * 4


@pytest.mark.parametrize("lane", Lane)
def test_an_immediate_shutdown_requeues_the_job_being_drawn(
    start: Start, submit: Submit, ended: Ended, service: Service, lane: Lane
) -> None:
    worker = start("draw")
    job = submit(lane)
    worker.wait_for_job_at("draw")

    worker.signal(signal.SIGTERM)
    wait_until(lambda: "Warm shutdown" in worker.log)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: worker.log.count("Warm shutdown") == 2)
    worker.open("draw")

    wait_until(lambda: worker.is_gone)
    assert status(service, job) is Status.QUEUED
    assert images_of(service, job) == []
    start()
    assert ended(job).attempt == 2


def test_a_hundred_duplicate_messages_give_one_result(
    start: Start, submit: Submit, ended: Ended, service: Service
) -> None:
    job = submit()
    for _ in range(100):
        service.celery.send_task("generate", args=(job.id,), queue="base.demo", priority=0)

    worker = start()

    assert ended(job).attempt == 1
    wait_until(lambda: worker.log.count("no job waits") == 100)
    assert worker.log.count(f"[job={job.id} attempt=1 base_model=demo] succeeded") == 1
    assert_drawn_once(service, job)


def test_a_job_that_finds_no_memory_fails_alone(start: Start, submit: Submit, ended: Ended) -> None:
    start()

    failed, next_one = ended(submit(prompt=HUGE)), ended(submit())

    assert failed.error is not None
    assert failed.error.code == "out_of_memory"
    assert "smaller width and height" in failed.error.message
    assert next_one.status is Status.SUCCEEDED
