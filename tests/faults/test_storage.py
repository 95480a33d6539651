"""Storage that is unavailable, or answers errors, while jobs are published."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from stack.parts import Parts
from stack.ports import Ports
from tasks.jobs.job import Job, Status
from tasks.service import Service
from tests.faults.conftest import STORAGE_WAIT_S, assert_drawn_once, images_of
from tests.support.broken_storage import refusing_storage
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.slow

Start = Callable[..., WorkerProcess]
Submit = Callable[..., Job]
Ended = Callable[[Job], Job]

WAITS = "cannot use storage and tries again"


@pytest.mark.parametrize("errors", [False, True], ids=["down", "answers 503"])
def test_jobs_wait_for_storage_and_succeed_when_it_is_back(
    *, start: Start, submit: Submit, ended: Ended, service: Service, parts: Parts, ports: Ports, errors: bool
) -> None:
    worker = start("upload")
    job = submit(images=2)
    worker.wait_for_job_at("upload")
    part = parts.kill("s3")

    if errors:
        with refusing_storage(ports.s3):
            worker.open("upload")
            wait_until(lambda: WAITS in worker.log)
    else:
        worker.open("upload")
        wait_until(lambda: WAITS in worker.log)
    parts.start([part])

    assert ended(job).attempt == 1
    assert_drawn_once(service, job)


def test_past_the_bound_a_job_fails_and_is_never_half_published(
    start: Start, submit: Submit, service: Service, parts: Parts
) -> None:
    worker = start("uploaded")
    job = submit(images=2)
    worker.wait_for_job_at("uploaded")
    part = parts.kill("s3")
    time.sleep(STORAGE_WAIT_S)

    worker.open("uploaded")
    wait_until(lambda: service.store.get(job.id).status.is_terminal, timeout_s=60)
    parts.start([part])

    failed = service.store.get(job.id)
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error.code == "storage_unavailable"
    wait_until(lambda: images_of(service, job) == [])
