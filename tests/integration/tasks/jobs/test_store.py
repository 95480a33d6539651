"""The job store decides once: each atomic step, against a real server."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from tasks.errors import JobNotFound, LeaseLost, ValkeyUnavailable
from tasks.jobs.index import JobIndex
from tasks.jobs.job import Job, Lane, Progress, Status
from tasks.jobs.keyspace import job_key
from tasks.jobs.recorder import JobRecorder
from tasks.jobs.result import Failure, Result, StoredImage, Timings
from tasks.jobs.store import JobStore
from tasks.valkey import Valkey
from tests.support.jobs import SPEC, recorded
from tests.support.waiting import patience

LEASE_S = 0.2
Claimed = Callable[..., Job]
IMAGE = StoredImage(key="images/0.png", width=64, height=64, bytes=10, sha256="ab", seed=1)
DONE = Result(images=(IMAGE,))
NOTHING = Result(images=())


@pytest.fixture
def store(valkey: Valkey) -> JobStore:
    return JobStore(valkey, lease_s=LEASE_S)


@pytest.fixture
def recorder(valkey: Valkey) -> JobRecorder:
    numbers = count()
    return JobRecorder(valkey, new_id=lambda: f"job{next(numbers)}")


@pytest.fixture
def index(valkey: Valkey) -> JobIndex:
    return JobIndex(valkey, retention_s=60)


@pytest.fixture
def claimed(store: JobStore, recorder: JobRecorder) -> Claimed:
    def claimed(worker: str = "w1") -> Job:
        job = store.claim(recorded(recorder, SPEC).id, worker)
        assert job is not None
        return job

    return claimed


def test_a_new_job_is_queued_and_unsent(store: JobStore, recorder: JobRecorder, index: JobIndex) -> None:
    job = recorded(recorder, SPEC)

    assert store.get(job.id) == job
    assert job.status is Status.QUEUED
    assert index.unsent(0, 10) == [job.id]


def test_a_sent_job_is_not_sent_again(store: JobStore, recorder: JobRecorder, index: JobIndex) -> None:
    job = recorded(recorder, SPEC)

    store.mark_sent(job)

    assert index.unsent(0, 10) == []


def test_an_unknown_job_says_what_to_do(store: JobStore) -> None:
    with pytest.raises(JobNotFound, match=r"may have expired\. Submit it again"):
        store.get("nobody")


def test_a_claim_starts_an_attempt_under_a_lease(index: JobIndex, claimed: Claimed) -> None:
    job = claimed("w1")

    assert (job.status, job.attempt, job.worker) == (Status.RUNNING, 1, "w1")
    assert job.started_at is not None
    assert job.started_at >= job.created_at
    assert index.unsent(0, 10) == []


def test_a_hundred_duplicate_messages_make_one_claim(store: JobStore, recorder: JobRecorder) -> None:
    job = recorded(recorder, SPEC)

    with ThreadPoolExecutor(20) as pool:
        claims = list(pool.map(lambda number: store.claim(job.id, f"w{number}"), range(100)))

    assert sum(claim is not None for claim in claims) == 1


def test_an_unknown_job_cannot_be_claimed(store: JobStore) -> None:
    assert store.claim("nobody", "w1") is None


def test_a_step_whose_answer_was_lost_can_be_asked_again(
    store: JobStore, recorder: JobRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.jobs.store.uuid.uuid4", lambda: uuid.UUID(int=1))
    job = recorded(recorder, SPEC)

    first, again = store.claim(job.id, "w1"), store.claim(job.id, "w1")

    assert first is not None
    assert again == first


def test_progress_is_seen_while_it_runs(store: JobStore, claimed: Claimed) -> None:
    job = claimed()

    store.renew(job.lease, Progress(step=3, of=20))

    assert store.get(job.id).progress == Progress(step=3, of=20)


def test_a_finished_job_has_its_images_and_no_lease(store: JobStore, claimed: Claimed) -> None:
    job = claimed()

    store.succeed(job, DONE, Timings(draw=0.5))

    done = store.get(job.id)
    assert (done.status, done.result, done.timings.draw) == (Status.SUCCEEDED, DONE, 0.5)
    with pytest.raises(LeaseLost):
        store.renew(job.lease)


def test_a_job_that_is_gone_belongs_to_no_attempt(store: JobStore, claimed: Claimed, valkey: Valkey) -> None:
    job = claimed()
    valkey.delete(job_key(job.id))

    with pytest.raises(LeaseLost, match="gone"):
        store.succeed(job, DONE, Timings())


@pytest.mark.parametrize(
    ("trouble", "end"),
    [("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"), ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")],
)
def test_a_server_that_cannot_write_is_one_that_is_away(
    store: JobStore, recorder: JobRecorder, valkey: Valkey, trouble: str, end: str
) -> None:
    job = store.claim(recorded(recorder, SPEC).id, "w1")
    assert job

    valkey.execute_command(*trouble.split())
    try:
        with pytest.raises(ValkeyUnavailable):
            recorded(recorder, SPEC)
        with pytest.raises(ValkeyUnavailable):
            store.succeed(job, DONE, Timings())
    finally:
        valkey.execute_command(*end.split())

    assert store.get(job.id) == job


def test_a_failed_job_says_why(store: JobStore, claimed: Claimed) -> None:
    job = claimed()

    store.fail(job, Failure(code="out_of_memory", message="Ask for less."))

    assert store.get(job.id).error == Failure(code="out_of_memory", message="Ask for less.")


def test_an_end_is_final(store: JobStore, claimed: Claimed) -> None:
    job = claimed()
    store.succeed(job, DONE, Timings())

    with pytest.raises(LeaseLost):
        store.succeed(job, NOTHING, Timings())
    with pytest.raises(LeaseLost):
        store.fail(job, Failure(code="failed", message="late"))

    assert store.get(job.id).result == DONE


def test_a_lapsed_lease_is_found_and_a_renewed_one_is_not(store: JobStore, index: JobIndex, claimed: Claimed) -> None:
    silent, alive = claimed(), claimed()

    time.sleep(LEASE_S)
    store.renew(alive.lease)

    assert index.lapsed(10) == [silent.id]


def test_the_late_result_of_an_abandoned_attempt_is_refused(store: JobStore, claimed: Claimed) -> None:
    first = claimed("frozen")
    store.requeue(first)
    second = store.claim(first.id, "healthy")
    assert second is not None

    with pytest.raises(LeaseLost):
        store.succeed(first, DONE, Timings())

    store.succeed(second, NOTHING, Timings())
    assert store.get(first.id).result == NOTHING


def test_a_job_given_back_is_queued_unsent_and_has_its_old_place(
    store: JobStore, recorder: JobRecorder, index: JobIndex
) -> None:
    first, second = recorded(recorder, SPEC), recorded(recorder, SPEC)
    job = store.claim(first.id, "w1")
    assert job is not None

    store.requeue(job)

    assert index.position(first) == 0
    assert index.position(second) == 1
    assert first.id in index.unsent(0, 10)
    assert store.get(first.id).worker is None


def test_a_note_of_sending_that_comes_late_does_not_hide_an_unsent_message(
    store: JobStore, recorder: JobRecorder, index: JobIndex
) -> None:
    created = recorded(recorder, SPEC)
    claimed_job = store.claim(created.id, "w1")
    assert claimed_job is not None
    store.requeue(claimed_job)

    store.mark_sent(created)

    assert index.unsent(0, 10) == [created.id]


def test_backfill_waits_behind_every_interactive_job(recorder: JobRecorder, index: JobIndex) -> None:
    line = recorded(recorder, SPEC, Lane.BACKFILL)
    someone = recorded(recorder, SPEC, Lane.INTERACTIVE)

    assert (index.position(someone), index.position(line)) == (0, 1)
    assert index.waiting("demo") == 2


def test_waiting_ends_when_the_status_changes(store: JobStore, recorder: JobRecorder) -> None:
    job = recorded(recorder, SPEC)
    claim = threading.Timer(0.1, store.claim, (job.id, "w1"))
    claim.start()

    seen = store.wait(job.id, timeout_s=patience(30))

    assert seen.status is Status.RUNNING
    claim.join()


def test_waiting_ends_after_its_time(store: JobStore, recorder: JobRecorder) -> None:
    job = recorded(recorder, SPEC)

    assert store.wait(job.id, timeout_s=0.05).status is Status.QUEUED


def test_waiting_for_a_finished_job_returns_it(store: JobStore, claimed: Claimed) -> None:
    job = claimed()
    store.succeed(job, NOTHING, Timings())

    assert store.wait(job.id, timeout_s=patience(30)).status is Status.SUCCEEDED
