"""The choice of the next backfill job."""

from __future__ import annotations

from collections import Counter
from itertools import count, groupby
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.errors import ValkeyUnavailable
from tasks.jobs.job import Job, JobOptions, JobSpec, Lane, ScaledAdapter
from tasks.jobs.keyspace import groups_key, job_key
from tasks.jobs.recorder import JobRecorder
from tasks.jobs.result import Result, Timings
from tasks.jobs.store import JobStore
from tasks.lanes.backfill_lane import QUANTUM, BackfillLane
from tasks.lanes.worker_registry import WorkerMemory, WorkerNote, WorkerRegistry
from tasks.valkey import Valkey
from tests.support.jobs import SPEC, recorded


class Backfill:
    """A lane with jobs in it, and workers that draw them."""

    def __init__(self, valkey: Valkey) -> None:
        numbers = count()
        self.recorder = JobRecorder(valkey, new_id=lambda: f"job{next(numbers)}")
        self.store = JobStore(valkey, lease_s=60)
        self.registry = WorkerRegistry(valkey, forget_after_s=60)
        self.lane = BackfillLane(valkey, self.store, self.registry)

    def add(self, adapter: str, owner: str | None = None) -> Job:
        return recorded(self.recorder, with_adapter(adapter), Lane.BACKFILL, JobOptions(owner=owner))

    def worker(self, name: str) -> str:
        memory = WorkerMemory(weights=0, pristine=0, adapters=0)
        self.registry.note(WorkerNote(name=name, base_model="demo", device="cpu", memory=memory))
        return name

    def claim(self, worker: str, count: int = 1) -> tuple[Job, ...]:
        return self.lane.claim("demo", worker, count)

    def draw(self, worker: str) -> Job | None:
        """The worker takes the next job and finishes it."""
        for job in self.claim(worker):
            self.store.succeed(job, Result(images=()), Timings())
            return job
        return None

    def draw_all(self, *workers: str) -> dict[str, list[Job]]:
        """The workers take turns until nothing is left."""
        drawn: dict[str, list[Job]] = {worker: [] for worker in workers}
        while jobs := {worker: job for worker in workers if (job := self.draw(worker))}:
            for worker, job in jobs.items():
                drawn[worker].append(job)
        return drawn


def with_adapter(name: str) -> JobSpec:
    adapter = ResolvedAdapter(
        ref=name,
        source=AdapterSource.FOLDER,
        repository=name,
        commit="0" * 64,
        weight_name=f"{name}.safetensors",
        base_model="demo",
    )
    return SPEC.model_copy(update={"adapters": (ScaledAdapter(adapter=adapter, scale=1.0),)})


def adapters(jobs: list[Job]) -> str:
    return "".join(job.spec.adapters[0].adapter.ref for job in jobs)


def swaps(jobs: list[Job]) -> int:
    return len(list(groupby(adapters(jobs))))


@pytest.fixture
def backfill(valkey: Valkey) -> Backfill:
    return Backfill(valkey)


def test_an_empty_lane_has_nothing(backfill: Backfill) -> None:
    recorded(backfill.recorder, SPEC, Lane.INTERACTIVE)

    assert backfill.claim(backfill.worker("w")) == ()


def test_a_worker_draws_one_adapter_after_the_other_however_they_come(backfill: Backfill) -> None:
    for adapter in "abcabcabc":
        backfill.add(adapter)

    drawn = backfill.draw_all(backfill.worker("w"))

    assert adapters(drawn["w"]) == "aaabbbccc"


def test_the_jobs_of_one_adapter_keep_their_order(backfill: Backfill) -> None:
    jobs = [backfill.add("a") for _ in range(5)]

    drawn = backfill.draw_all(backfill.worker("w"))

    assert [job.id for job in drawn["w"]] == [job.id for job in jobs]


def test_each_worker_keeps_an_adapter_of_its_own(backfill: Backfill) -> None:
    for adapter in "abab":
        backfill.add(adapter)

    drawn = backfill.draw_all(backfill.worker("w1"), backfill.worker("w2"))

    assert [adapters(jobs) for jobs in drawn.values()] == ["aa", "bb"]


def test_a_worker_without_an_adapter_of_its_own_helps_with_the_largest(backfill: Backfill) -> None:
    first, second, third = (backfill.worker(f"w{number}") for number in range(3))
    for adapter in "aabbbbb":
        backfill.add(adapter)
    backfill.draw(first)
    backfill.draw(second)

    helped = backfill.draw(third)

    assert helped is not None
    assert adapters([helped]) == "b"


def test_the_adapter_of_a_worker_that_is_gone_is_free(backfill: Backfill) -> None:
    gone, left = "gone", backfill.worker("left")
    for adapter in "aab":
        backfill.add(adapter)
    backfill.draw(gone)

    taken = backfill.draw(left)

    assert taken is not None
    assert adapters([taken]) == "a"


def test_the_same_adapter_at_another_scale_needs_a_swap_of_its_own(backfill: Backfill) -> None:
    once, twice = (with_adapter("a").adapters[0].model_copy(update={"scale": scale}) for scale in (1.0, 2.0))
    for scaled in (once, twice, once):
        recorded(backfill.recorder, SPEC.model_copy(update={"adapters": (scaled,)}), Lane.BACKFILL)

    drawn = backfill.draw_all(backfill.worker("w"))

    assert [job.spec.adapters[0].scale for job in drawn["w"]] == [1.0, 1.0, 2.0]


def test_a_job_that_was_given_back_is_drawn_again(backfill: Backfill) -> None:
    job = backfill.add("a")
    (claimed,) = backfill.claim(backfill.worker("w"))
    backfill.store.requeue(claimed, uncounted=True)

    (again,) = backfill.claim("w")

    assert again.id == job.id


def test_a_canceled_job_is_not_drawn(backfill: Backfill) -> None:
    canceled, other = backfill.add("a"), backfill.add("a")
    backfill.store.cancel(canceled.id)

    drawn = backfill.draw_all(backfill.worker("w"))

    assert [job.id for job in drawn["w"]] == [other.id]


@pytest.mark.parametrize("lost", [1, 3], ids=["the first of a group", "a whole group"])
def test_a_job_whose_record_is_gone_holds_up_no_other(backfill: Backfill, valkey: Valkey, lost: int) -> None:
    first = [backfill.add("a") for _ in range(3)]
    behind = backfill.add("b")
    valkey.delete(*(job_key(job.id) for job in first[:lost]))

    drawn = backfill.draw_all("worker-0")["worker-0"]

    assert [job.id for job in drawn] == [*(job.id for job in first[lost:]), behind.id]
    assert valkey.zcard(groups_key("demo")) == 0


def test_jobs_that_differ_in_prompt_and_seed_alone_are_taken_together(backfill: Backfill) -> None:
    def add(**fields: object) -> str:
        return recorded(backfill.recorder, with_adapter("a").model_copy(update=fields), Lane.BACKFILL).id

    alike = [add(prompt="a", seed=1), add(prompt="b", seed=2)]
    for other in ({"steps": 3}, {"width": 96}, {"guidance_scale": 1.0}, {"image_count": 2}, {"negative_prompt": "c"}):
        add(**other)
    alike += [add(), add()]

    assert [job.id for job in backfill.claim(backfill.worker("w"), 3)] == alike[:3]


def test_a_job_that_may_have_killed_its_worker_is_taken_alone(backfill: Backfill) -> None:
    jobs = [backfill.add("a") for _ in range(5)]
    killed, uncounted = backfill.claim(backfill.worker("w"), 2)

    backfill.store.requeue(killed)
    backfill.store.requeue(uncounted, uncounted=True)

    taken = [[job.id for job in backfill.claim("w", 3)] for _ in range(3)]
    assert taken == [[jobs[0].id], [jobs[1].id, jobs[2].id, jobs[3].id], [jobs[4].id]]


def test_what_was_claimed_before_the_valkey_went_away_is_drawn(
    backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = backfill.add("a"), backfill.add("a")
    claim = backfill.store.claim

    def interrupted(job_id: str, *arguments: Any) -> Job | None:
        if job_id == second.id:
            raise ValkeyUnavailable("away")
        return claim(job_id, *arguments)

    monkeypatch.setattr(backfill.store, "claim", interrupted)

    assert [job.id for job in backfill.claim(backfill.worker("w"), 2)] == [first.id]
    with pytest.raises(ValkeyUnavailable):
        backfill.claim("w", 2)


def test_a_job_that_failed_on_this_machine_is_left_to_another_worker_and_the_next_one_is_taken(
    backfill: Backfill,
) -> None:
    failed, next_one = backfill.add("a"), backfill.add("a")
    (claimed,) = backfill.claim(backfill.worker("broken"))
    backfill.store.requeue(claimed, failed_on="broken")
    backfill.worker("good")

    assert [job.id for job in backfill.claim("broken", 2)] == [next_one.id]
    assert backfill.claim("broken") == ()
    assert [job.id for job in backfill.claim("good")] == [failed.id]


def test_a_worker_without_another_takes_what_failed_on_it_again(backfill: Backfill) -> None:
    failed = backfill.add("a")
    (claimed,) = backfill.claim(backfill.worker("only"))
    backfill.store.requeue(claimed, failed_on="only")

    assert [job.id for job in backfill.claim("only")] == [failed.id]


def test_other_adapters_are_never_taken_together(backfill: Backfill) -> None:
    for adapter in "ab":
        backfill.add(adapter)

    assert len(backfill.claim(backfill.worker("w"), 8)) == 1


def test_jobs_taken_together_count_each_against_their_owner(backfill: Backfill) -> None:
    worker = backfill.worker("w")
    for _ in range(40):
        backfill.add("a", "one")
        backfill.add("b", "two")

    owners = [job.options.owner for _ in range(6) for job in backfill.claim(worker, 8)]

    assert set(owners[:24]) == {"one"}
    assert set(owners[24:]) == {"two"}


def test_a_million_lines_of_one_do_not_starve_the_hundred_of_another(backfill: Backfill) -> None:
    for _ in range(200):
        backfill.add("a", "large")
    worker = backfill.worker("w")
    for _ in range(30):
        backfill.draw(worker)
    for _ in range(20):
        backfill.add("b", "small")

    drawn = backfill.draw_all(worker)["w"]

    last_of_small = max(place for place, job in enumerate(drawn) if job.options.owner == "small")
    assert last_of_small < 2 * 20 + QUANTUM + 1


def test_two_owners_share_the_lane(backfill: Backfill) -> None:
    for _ in range(100):
        backfill.add("a", "one")
        backfill.add("b", "two")

    drawn = backfill.draw_all(backfill.worker("w"))["w"]

    served: Counter[str | None] = Counter()
    for job in drawn[:150]:
        served[job.options.owner] += 1
        assert abs(served["one"] - served["two"]) <= QUANTUM + 1
    assert swaps(drawn) <= 2 * (200 // QUANTUM)


def test_nothing_is_left_behind(backfill: Backfill, valkey: Valkey) -> None:
    for owner in ("one", "two", "three"):
        backfill.add("a", owner)

    backfill.draw_all(backfill.worker("w"))

    assert not valkey.keys("stokehold:backfill:*")
    assert not valkey.exists("stokehold:turns:demo")


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(st.sampled_from("abcde"), min_size=1, max_size=40), workers=st.integers(min_value=1, max_value=3))
def test_every_job_is_drawn_once_with_few_swaps(valkey: Valkey, lines: list[str], workers: int) -> None:
    valkey.flushall()
    backfill = Backfill(valkey)
    jobs = [backfill.add(adapter) for adapter in lines]

    drawn = backfill.draw_all(*(backfill.worker(f"w{number}") for number in range(workers)))

    assert sorted(job.id for part in drawn.values() for job in part) == sorted(job.id for job in jobs)
    assert sum(swaps(part) for part in drawn.values()) <= workers * len(set(lines))
    assert all(swaps(part) == len(set(adapters(part))) for part in drawn.values())
