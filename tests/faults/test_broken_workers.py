"""A worker whose machine is broken, beside a good one: it fails no job, and leaves."""

from __future__ import annotations

from collections.abc import Callable

from tasks.jobs.job import Job, Lane, Status
from tasks.service import Service
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess

Start = Callable[..., WorkerProcess]
Submit = Callable[..., Job]
Ended = Callable[[Job], Job]


def test_a_worker_that_lost_its_device_fails_no_job_and_leaves_its_queue(
    start: Start, submit: Submit, ended: Ended, service: Service
) -> None:
    broken, good = start(), start()
    broken.break_device()

    jobs = [submit(seed=seed) for seed in range(10)] + [submit(Lane.BACKFILL, seed=seed) for seed in range(20)]

    done = [ended(job) for job in jobs]
    assert [job.status for job in done] == [Status.SUCCEEDED] * 30
    assert {f"-{good.pid}@" in str(job.worker) for job in done} == {True}
    wait_until(lambda: broken.is_gone, timeout_s=60)
    assert "this worker leaves its queue: It cannot draw its test image." in broken.log
    (note,) = [note for note in service.workers.alive("demo") if f"-{broken.pid}@" in note.name]
    assert note.unhealthy == "It cannot draw its test image."
    assert note not in service.workers.healthy("demo")
    service.workers.remove(note)


def test_jobs_wait_while_no_worker_is_fit(start: Start, submit: Submit, ended: Ended, service: Service) -> None:
    broken = start()
    broken.break_device()

    job = submit()
    wait_until(lambda: broken.is_gone, timeout_s=60)

    assert service.store.get(job.id).status is Status.QUEUED
    start()
    assert ended(job).status is Status.SUCCEEDED
