"""The estimated wait of a queued job."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.jobs.job import Job
from tasks.jobs.result import Result, Timings
from tasks.lanes.pace import Pace
from tasks.lanes.worker_registry import WorkerMemory, WorkerNote
from tasks.service import Service
from tasks.valkey import Valkey
from tests.support.jobs import SPEC, recorded
from tests.support.services import make_service


@pytest.fixture
def service(valkey: Valkey, valkey_url: str, tmp_path: Path) -> Service:
    return make_service(tmp_path, valkey_url=valkey_url)


def drawn_in(service: Service, draw_s: float, swap_s: float = 0) -> None:
    job = service.store.claim(recorded(service.recorder, SPEC).id, "w1")
    assert job is not None
    service.store.succeed(job, Result(images=()), Timings(swap=swap_s, draw=draw_s))


def start_workers(service: Service, *names: str) -> None:
    memory = WorkerMemory(weights=0, pristine=0, adapters=0)
    for name in names:
        service.workers.note(WorkerNote(name=name, base_model="demo", device="cpu", memory=memory))


def eta_s(service: Service, job: Job) -> float | None:
    return service.records.of(job).eta_s


def test_nothing_is_known_before_the_first_job_or_without_workers(service: Service) -> None:
    job = recorded(service.recorder, SPEC)
    assert eta_s(service, job) is None

    drawn_in(service, 2)

    assert Pace(service.index, service.workers).seconds_a_job("demo") is None


def test_the_wait_grows_with_the_queue_and_shrinks_with_the_workers(service: Service) -> None:
    drawn_in(service, draw_s=3, swap_s=1)
    start_workers(service, "w1", "w2")
    first, second = recorded(service.recorder, SPEC), recorded(service.recorder, SPEC)

    assert (eta_s(service, first), eta_s(service, second)) == (2, 4)


def test_the_measure_follows_a_change_and_forgives_one_slow_job(service: Service) -> None:
    drawn_in(service, 1)
    drawn_in(service, 11)
    assert service.index.measured("demo").job == pytest.approx(3)

    for _ in range(30):
        drawn_in(service, 5)

    assert service.index.measured("demo").job == pytest.approx(5, rel=0.01)


def test_what_is_no_longer_queued_has_no_eta(service: Service) -> None:
    drawn_in(service, 1)
    start_workers(service, "w1")
    job = service.store.claim(recorded(service.recorder, SPEC).id, "w1")
    assert job is not None

    assert eta_s(service, job) is None


def test_a_pace_is_measured_again_after_a_while(service: Service) -> None:
    now = 0.0
    pace = Pace(service.index, service.workers, clock=lambda: now)
    start_workers(service, "w1")
    drawn_in(service, 1)
    assert pace.eta_s("demo", 0) == 1

    start_workers(service, "w2")
    at_once = pace.eta_s("demo", 0)
    now = 2.0

    assert (at_once, pace.eta_s("demo", 0)) == (1, 0.5)
