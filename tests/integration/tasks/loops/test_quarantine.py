"""One record that raises holds up no other: it is counted, named, quarantined, and comes back with the next start."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tasks.errors import ValkeyUnavailable
from tasks.jobs.job import Status
from tasks.jobs.keyspace import DEADLINES, FINISHED, LEASES, UNSENT, UNSETTLED_IMAGES, job_key
from tasks.jobs.result import Result, Timings
from tasks.loops.quarantine import MAX_FAILURES, Quarantine
from tasks.service import Service
from tasks.valkey import Valkey
from tests.support.housekeeping import housekeeping
from tests.support.jobs import SPEC, recorded
from tests.support.services import make_service

LEASE_S = 0.1
INDEX = "stokehold:some"
DAMAGES: dict[str, tuple[str, str]] = {
    "an unknown status": ("status", "paused"),
    "broken JSON": ("options", "{"),
    "another type": ("attempt", "many"),
    "a time that is none": ("created_at", "yesterday"),
    "a newer version": ("record_version", "1000"),
}


@pytest.fixture
def service(valkey: Valkey, valkey_url: str, tmp_path: Path) -> Service:
    return make_service(tmp_path, valkey_url=valkey_url, lease_s=LEASE_S)


def raising() -> None:
    raise KeyError("nobody foresaw this")


def test_a_record_that_raises_again_and_again_is_set_aside_with_its_reason(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    quarantine = Quarantine(valkey)
    valkey.zadd(INDEX, {"strange": 7, "plain": 8})

    for _ in range(MAX_FAILURES):
        assert valkey.zcard(INDEX) == 2
        quarantine.attempt(INDEX, "strange", raising)

    assert valkey.zrange(INDEX, 0, -1) == ["plain"]
    [record] = quarantine.records()
    assert (record.index, record.member, float(record.score)) == (INDEX, "strange", 7)
    assert "nobody foresaw this" in record.reason
    assert f"strange of {INDEX} raised, {MAX_FAILURES} of {MAX_FAILURES} times" in caplog.text


@pytest.mark.parametrize("ordered", [True, False])
def test_it_comes_back_to_its_place_with_the_next_start(valkey: Valkey, ordered: bool) -> None:
    quarantine = Quarantine(valkey)
    if ordered:
        valkey.zadd(INDEX, {"a": 7.25})
    else:
        valkey.sadd(INDEX, "a")
    for _ in range(MAX_FAILURES):
        quarantine.attempt(INDEX, "a", raising)

    Quarantine(valkey).release_all()

    assert valkey.zscore(INDEX, "a") == 7.25 if ordered else valkey.sismember(INDEX, "a")
    assert quarantine.records() == []


def test_failures_count_only_in_a_row(valkey: Valkey) -> None:
    quarantine = Quarantine(valkey)
    valkey.sadd(INDEX, "a")

    for _ in range(MAX_FAILURES):
        for step in (*[raising] * (MAX_FAILURES - 1), lambda: None):
            quarantine.attempt(INDEX, "a", step)

    assert valkey.sismember(INDEX, "a")


@pytest.mark.parametrize("error", [ValkeyUnavailable("away"), OSError(28, "No space left on device"), MemoryError()])
def test_what_every_record_would_meet_counts_against_none(valkey: Valkey, error: Exception) -> None:
    quarantine = Quarantine(valkey)
    valkey.sadd(INDEX, "a")

    def step() -> None:
        raise error

    for _ in range(2 * MAX_FAILURES):
        with pytest.raises(type(error)):
            quarantine.attempt(INDEX, "a", step)

    assert valkey.sismember(INDEX, "a")


def lapsed(service: Service) -> str:
    """A job whose worker is gone."""
    job = recorded(service.recorder, SPEC)
    assert service.store.claim(job.id, "dead")
    return job.id


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_lease_of_a_damaged_record_holds_up_no_other(service: Service, damage: str) -> None:
    strange, plain = lapsed(service), lapsed(service)
    service.valkey.hset(job_key(strange), *DAMAGES[damage])
    time.sleep(LEASE_S)

    housekeeping(service)
    assert service.store.get(plain).status is Status.QUEUED
    for _ in range(MAX_FAILURES):
        housekeeping(service)

    assert [(record.index, record.member) for record in service.quarantine.records()] == [(LEASES, strange)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_nor_does_one_among_those_that_have_expired(service: Service, damage: str) -> None:
    for job_id in (strange := lapsed(service), plain := lapsed(service)):
        service.store.succeed(service.store.get(job_id), Result(images=()), Timings())
    service.valkey.hset(job_key(strange), *DAMAGES[damage])
    service.valkey.hset(job_key(plain), "attempt", 0)  # nothing of it is in storage, which is away
    service.valkey.zadd(FINISHED, {strange: 1, plain: 2})

    service.retention.remove_jobs()

    assert service.valkey.zrange(FINISHED, 0, -1) == [strange]
    assert service.valkey.exists(job_key(plain)) == 0


@pytest.mark.parametrize("index", [LEASES, DEADLINES, UNSENT, FINISHED])
def test_an_entry_without_a_record_is_removed(service: Service, index: str) -> None:
    service.valkey.zadd(index, {"0" * 32: 1})

    service.housekeeping.requeue_lapsed()
    service.housekeeping.end_late()
    service.housekeeping.send_unsent()
    service.retention.remove_jobs()

    assert service.valkey.zcard(index) == 0


@pytest.mark.parametrize("member", ["no slash", "x/none-of-it", "/"])
def test_a_noted_upload_that_makes_no_sense_holds_up_no_other(service: Service, member: str) -> None:
    job = service.store.claim(lapsed_and_requeued(service), "w")
    assert job
    service.store.succeed(job, Result(images=()), Timings())
    plain = f"{job.id}/{job.lease.token}"
    service.valkey.sadd(UNSETTLED_IMAGES, member, plain)

    service.images.settle_all()

    assert not service.valkey.sismember(UNSETTLED_IMAGES, plain)


def lapsed_and_requeued(service: Service) -> str:
    job_id = lapsed(service)
    time.sleep(LEASE_S)
    service.housekeeping.requeue_lapsed()
    return job_id


def test_ten_thousand_lapsed_leases_at_once_are_taken_back_a_bounded_number_a_round(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.upkeep.housekeeping.MAX_PER_ROUND", 10)
    jobs = [lapsed(service) for _ in range(25)]
    time.sleep(LEASE_S)
    left = list[int]()

    for _ in range(3):
        service.housekeeping.requeue_lapsed()
        left.append(service.valkey.zcard(LEASES))

    assert left == [15, 5, 0]
    assert all(service.store.get(job_id).status is Status.QUEUED for job_id in jobs)


def test_nothing_of_this_leaves_anything_behind(service: Service) -> None:
    for _ in range(MAX_FAILURES - 1):
        service.quarantine.attempt(INDEX, "a", raising)
    service.quarantine.attempt(INDEX, "a", lambda: None)

    assert [key for key in service.valkey.keys("stokehold:*") if "failing" in key or "set_aside" in key] == []
