"""The choice of the next interactive job, and the number of jobs before one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.jobs.index import OWNERS_COUNTED, JobIndex
from tasks.jobs.job import Job, JobOptions, Lane, Status
from tasks.jobs.keyspace import lane_keys
from tasks.jobs.recorder import JobRecorder
from tasks.jobs.result import Result, Timings
from tasks.jobs.store import JobStore
from tasks.lanes.interactive_lane import InteractiveLane
from tasks.lanes.worker_registry import WorkerRegistry
from tasks.valkey import Valkey
from tests.support.jobs import SPEC, recorded

SLUG = SPEC.base_model
WEIGHTS = {"a": 1, "b": 1, "c": 3, "d": 5}


class Interactive:
    """A lane with jobs in it, and a worker that draws them."""

    def __init__(self, valkey: Valkey) -> None:
        numbers = count()
        self.recorder = JobRecorder(valkey, new_id=lambda: f"job{next(numbers)}")
        self.store = JobStore(valkey, lease_s=60)
        self.index = JobIndex(valkey, retention_s=60)
        self.lane = InteractiveLane(valkey, self.store, WorkerRegistry(valkey, forget_after_s=60))

    def add(self, owner: str | None = None, weight: int = 1) -> Job:
        return recorded(self.recorder, SPEC, options=JobOptions(owner=owner, weight=weight))

    def draw(self) -> Job | None:
        """The worker takes the next job and finishes it."""
        job = self.lane.claim(SLUG, "worker")
        if job is not None:
            self.store.succeed(job, Result(images=()), Timings())
        return job

    def draw_all(self) -> Iterator[Job]:
        while job := self.draw():
            yield job

    def position(self, job: Job) -> int | None:
        return self.index.position(job)


@pytest.fixture
def interactive(valkey: Valkey) -> Interactive:
    return Interactive(valkey)


def test_an_empty_lane_has_nothing(interactive: Interactive) -> None:
    recorded(interactive.recorder, SPEC, Lane.BACKFILL)

    assert interactive.draw() is None


def test_the_jobs_of_one_owner_keep_their_order(interactive: Interactive) -> None:
    jobs = [interactive.add() for _ in range(5)]

    assert [job.id for job in interactive.draw_all()] == [job.id for job in jobs]


def test_three_hundred_of_one_delay_the_job_of_another_by_one_drawing(interactive: Interactive) -> None:
    for _ in range(300):
        interactive.add("a")
    interactive.draw()

    job = interactive.add("b")

    assert interactive.position(job) == 0
    drawn = interactive.draw()
    assert drawn is not None
    assert drawn.id == job.id


def test_those_who_come_first_are_drawn_first(interactive: Interactive) -> None:
    owners = [f"{number:02}" for number in range(20, 0, -1)]
    jobs = [interactive.add(owner) for owner in owners]

    assert [interactive.position(job) for job in jobs] == list(range(20))
    assert [job.options.owner for job in interactive.draw_all()] == owners


def test_new_owners_without_end_starve_no_owner(interactive: Interactive) -> None:
    patient = interactive.add("z")
    numbers = iter(range(1000))
    interactive.add(f"a{next(numbers)}")

    drawn = []
    while patient.id not in drawn:
        interactive.add(f"a{next(numbers)}")
        job = interactive.draw()
        assert job is not None
        drawn.append(job.id)

    assert len(drawn) == 1


def test_an_owner_that_rested_gains_nothing_by_it(interactive: Interactive) -> None:
    for _ in range(30):
        interactive.add("a")
    for _ in range(20):
        interactive.draw()
    for _ in range(10):
        interactive.add("b")

    assert "".join(job.options.owner or "" for job in interactive.draw_all()) in {"ab" * 10, "ba" * 10}


def test_an_owner_that_sends_again_after_each_drawing_gets_no_more_than_its_share(interactive: Interactive) -> None:
    for _ in range(20):
        interactive.add("a")
    interactive.add("b")

    drawn = ""
    for _ in range(20):
        job = interactive.draw()
        assert job is not None
        drawn += job.options.owner or ""
        if job.options.owner == "b":
            interactive.add("b")

    assert abs(drawn.count("a") - drawn.count("b")) <= 1


def test_jobs_that_are_canceled_cost_their_owner_no_turns(interactive: Interactive) -> None:
    jobs = [interactive.add("a") for _ in range(100)]
    for _ in range(100):
        interactive.add("b")
    for job in jobs[:-1]:
        interactive.store.cancel(job.id)

    assert interactive.position(jobs[-1]) == 0
    interactive.store.cancel(jobs[-1].id)
    assert interactive.position(interactive.add("a")) == 1


def test_a_job_given_back_has_its_old_place_among_its_owners(interactive: Interactive) -> None:
    first, second = interactive.add("a"), interactive.add("a")
    claimed = interactive.lane.claim(SLUG, "worker")
    assert claimed is not None
    interactive.store.requeue(claimed, uncounted=True)

    assert (interactive.position(first), interactive.position(second)) == (0, 1)
    assert [job.id for job in interactive.draw_all()] == [first.id, second.id]


def test_a_job_whose_deadline_is_over_is_passed(interactive: Interactive) -> None:
    late = recorded(interactive.recorder, SPEC, options=JobOptions(deadline_s=0.001))
    job = interactive.add()
    time.sleep(0.01)

    assert [one.id for one in interactive.draw_all()] == [job.id]
    assert interactive.store.get(late.id).status is Status.FAILED


def test_a_job_of_another_version_delays_no_other(interactive: Interactive, valkey: Valkey) -> None:
    taken, job = interactive.add("a"), interactive.add("b")
    valkey.hset(f"stokehold:job:{taken.id}", "status", "running")

    assert [one.id for one in interactive.draw_all()] == [job.id]


def test_nothing_is_left_behind(interactive: Interactive, valkey: Valkey) -> None:
    for owner in ("a", "b", None):
        interactive.add(owner)
    interactive.store.cancel(interactive.add("c").id)

    list(interactive.draw_all())

    assert not valkey.keys("stokehold:interactive:*")


def test_what_is_known_of_owners_that_left_is_bounded(interactive: Interactive, valkey: Valkey) -> None:
    for _ in range(500):
        interactive.add("a")
    for number in range(400):
        interactive.add(f"b{number}")
        interactive.draw()
        interactive.draw()

    assert valkey.hlen(lane_keys(SLUG, None)[1]) < 130


def test_a_position_costs_the_same_however_many_wait(interactive: Interactive, valkey: Valkey) -> None:
    for number in range(OWNERS_COUNTED * 5):
        interactive.add(f"{number:04}")
    last = interactive.add("last")
    valkey.config_resetstat()

    position = interactive.position(last)

    assert position == OWNERS_COUNTED * 5
    assert valkey.info("commandstats")["cmdstat_zcard"]["calls"] <= OWNERS_COUNTED + 1


arrivals = st.lists(st.sampled_from("abcd"), min_size=1, max_size=30)
"""Owners, in the order in which their jobs come."""


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(owners=arrivals)
def test_a_position_says_how_many_are_drawn_before(valkey: Valkey, owners: list[str]) -> None:
    valkey.flushall()
    interactive = Interactive(valkey)
    jobs = [interactive.add(owner, WEIGHTS[owner]) for owner in owners]
    positions = {job.id: interactive.position(job) for job in jobs}

    order = [job.id for job in interactive.draw_all()]

    assert positions == {job_id: place for place, job_id in enumerate(order)}


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.sampled_from([*"abcd", "draw", "cancel"]), min_size=1, max_size=60), data=st.data())
def test_each_owner_gets_its_share_while_it_waits(valkey: Valkey, steps: list[str], data: st.DataObject) -> None:
    """Of any two owners that both wait, neither gets more than a job of each ahead, by their weights."""
    valkey.flushall()
    interactive = Interactive(valkey)
    queued: dict[str, list[str]] = {owner: [] for owner in WEIGHTS}
    served: Counter[str] = Counter()
    since: dict[frozenset[str], Counter[str]] = {}
    for step in [*steps, *["draw"] * 60]:
        if step in queued:
            queued[step].append(interactive.add(step, WEIGHTS[step]).id)
        elif step == "cancel" and (waiting := [job for jobs in queued.values() for job in jobs]):
            chosen = data.draw(st.sampled_from(waiting))
            interactive.store.cancel(chosen)
            queued = {owner: [job for job in jobs if job != chosen] for owner, jobs in queued.items()}
        elif step == "draw" and (job := interactive.draw()):
            owner = job.options.owner or ""
            queued[owner].remove(job.id)
            served[owner] += 1
        both = {frozenset({one, other}) for one in "abcd" for other in "abcd" if one < other}
        backlogged = {pair for pair in both if all(queued[owner] for owner in pair)}
        since = {pair: since.get(pair, Counter(served)) for pair in backlogged}
        for pair, before in since.items():
            one, other = pair
            shares = [(served[owner] - before[owner]) / WEIGHTS[owner] for owner in (one, other)]
            assert abs(shares[0] - shares[1]) <= 1 / WEIGHTS[one] + 1 / WEIGHTS[other] + 1e-3
    assert not any(queued.values())
