"""Attempts that stall, at every stage: the job goes on elsewhere, and the worker ends itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

import pytest

from tasks.jobs.job import Job, Lane, Status
from tasks.service import Service
from tests.faults.conftest import assert_drawn_once
from tests.support.gates import DEAF
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess

pytestmark = [pytest.mark.torch, pytest.mark.slow]

Submit = Callable[..., Job]
Ended = Callable[[Job], Job]

STALL_S = 4.0
MAX_S = 60.0
"""Far more than the bounds that follow from ``STALL_S``, on a busy machine."""


@pytest.fixture
def start(start: Callable[..., WorkerProcess]) -> Callable[..., WorkerProcess]:
    """Starts a worker that waits for progress for a few seconds, with some gates closed."""
    return partial(start, stall_s=STALL_S)


Start = Callable[..., WorkerProcess]


@pytest.mark.parametrize("stage", ["prepare", "swap", "draw", "upload", "finish"])
def test_an_attempt_that_stands_still_in_any_stage_is_handed_on_and_its_worker_ends(
    start: Start, submit: Submit, ended: Ended, service: Service, stage: str
) -> None:
    worker = start(stage)
    job = submit(adapters=[{"ref": "neon"}])
    worker.wait_for_job_at(stage)

    wait_until(lambda: worker.is_gone, timeout_s=MAX_S)
    start()

    done = ended(job)
    assert "no progress for" in worker.log
    assert "exits with code 70" in worker.log
    assert (done.attempt, len(done.failed_on)) == (2, 1)
    assert f"-{worker.pid}@" in done.failed_on[0]
    assert_drawn_once(service, job)


def test_what_waits_behind_a_drawing_that_stands_still_goes_back_and_counts_no_attempt(
    start: Start, submit: Submit, ended: Ended, service: Service
) -> None:
    worker = start("draw")
    hung = submit()
    worker.wait_for_job_at("draw")
    behind = [submit(), submit(Lane.BACKFILL)]
    wait_until(lambda: all(service.store.get(job.id).status is Status.RUNNING for job in behind))

    wait_until(lambda: worker.is_gone, timeout_s=MAX_S)
    start()

    assert [ended(job).status for job in (hung, *behind)] == [Status.SUCCEEDED] * 3
    assert [service.store.get(job.id).tries for job in behind] == [1, 1]


def test_a_pass_of_several_jobs_that_stands_still_is_handed_on_whole(
    start: Start, submit: Submit, ended: Ended, service: Service
) -> None:
    worker = start("draw")
    jobs = [submit(Lane.BACKFILL, seed=seed) for seed in range(6)]
    worker.wait_for_job_at("draw")

    wait_until(lambda: worker.is_gone, timeout_s=MAX_S)
    start()

    assert [ended(job).status for job in jobs] == [Status.SUCCEEDED] * 6


def test_a_drawing_that_hangs_ends_its_worker_soon_after_its_cancel(
    start: Start, submit: Submit, ended: Ended, service: Service
) -> None:
    worker = start("draw")
    hung, behind = submit(), submit()
    worker.wait_for_job_at("draw")

    service.store.cancel(hung.id)
    wait_until(lambda: worker.is_gone, timeout_s=MAX_S)
    start()

    assert ended(behind).status is Status.SUCCEEDED
    assert service.store.get(hung.id).status is Status.CANCELED


def test_a_second_sigterm_ends_a_worker_whose_drawing_hangs(start: Start, submit: Submit, service: Service) -> None:
    worker = start("draw")
    hung = submit()
    worker.wait_for_job_at("draw")

    worker.signal(signal.SIGTERM)
    wait_until(lambda: "Warm shutdown" in worker.log)
    worker.signal(signal.SIGTERM)

    wait_until(lambda: worker.is_gone, timeout_s=MAX_S)
    assert service.store.get(hung.id).status is Status.QUEUED
    service.store.cancel(hung.id)


def test_a_worker_whose_interpreter_is_held_ends_too_and_its_job_comes_back(
    start: Start, submit: Submit, ended: Ended, service: Service
) -> None:
    worker = start()
    deaf = submit(prompt=DEAF)

    wait_until(lambda: worker.is_gone, timeout_s=MAX_S)
    wait_until(lambda: service.store.get(deaf.id).status is Status.QUEUED, timeout_s=MAX_S)
    service.store.cancel(deaf.id)

    start()
    assert ended(submit()).status is Status.SUCCEEDED


def start_until_it_ends(start: Start) -> None:
    """Start a worker that stalls while it draws, and wait until it has ended itself."""
    worker = start("draw")
    worker.wait_for_job_at("draw")
    wait_until(lambda: worker.is_gone, timeout_s=MAX_S)


def test_a_job_that_stands_still_wherever_it_is_drawn_fails_and_says_why(
    start: Start, submit: Submit, ended: Ended
) -> None:
    job = submit()
    for _ in range(3):
        start_until_it_ends(start)

    failed = ended(job)

    assert failed.error is not None
    assert (failed.error.code, failed.attempt) == ("attempt_stalled", 3)
