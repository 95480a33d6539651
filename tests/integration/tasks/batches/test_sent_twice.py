"""A batch that is sent twice is one batch, at any moment; nothing that is written for it is left behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest

from tasks.batches.batch import Batch, BatchOptions, BatchStatus
from tasks.batches.store import FINISHED, REMOVING
from tasks.errors import BatchNotFound, IdempotencyConflict, StatusConflict, ValkeyUnavailable
from tasks.jobs.line_place import batch_key
from tasks.jobs.result import Result, StoredImage, Timings
from tasks.keys import default_limits
from tasks.objects.notes import NOTED
from tasks.service import Service
from tasks.valkey import Valkey, ValkeyPipeline
from tests.support.batches import advance_batches, plan_batches
from tests.support.waiting import patience

OPTIONS = BatchOptions()
KEY = "the client's own"
IMAGE = StoredImage(key="images/0.png", width=64, height=64, bytes=10, sha256="ab", seed=1)


def body(count: int = 3, prompt: str = "a red circle") -> bytes:
    return b"".join(json.dumps({"custom_id": str(n), "prompt": prompt}).encode() + b"\n" for n in range(count))


class Slow:
    """A body whose end comes when it is let."""

    def __init__(self, content: bytes) -> None:
        self._content, self._begun = BytesIO(content), False
        self.began, self.end = threading.Event(), threading.Event()

    def read(self, count: int = -1, /) -> bytes:
        self.began.set()
        self.end.wait(patience(60))
        return self._content.read(count)


def send(service: Service, content: bytes = body(), options: BatchOptions = OPTIONS, key: str | None = KEY) -> Batch:
    return service.batch_submissions.submit(options, BytesIO(content), idempotency_key=key)


def draw(service: Service) -> list[str]:
    drawn: list[str] = []
    while jobs := service.backfill.claim("demo", "worker"):
        service.store.succeed(jobs[0], Result(images=(IMAGE,)), Timings())
        drawn.append(jobs[0].id)
    return drawn


def finish(service: Service) -> list[str]:
    """Go on until nothing is left to be done; the jobs that were drawn."""
    drawn: list[str] = []
    while service.batches.active_ids():
        plan_batches(service)
        advance_batches(service)
        drawn += draw(service)
    return drawn


def objects(service: Service) -> set[str]:
    return set(service.storage.list("batches/"))


def remove_unrecorded_at_once(service: Service) -> None:
    """As retention does, when the time of every note is over."""
    service.valkey.zunionstore(NOTED, {NOTED: 0})
    service.retention.remove_objects()


def test_a_first_request_that_arrives_late_does_not_touch_the_running_batch(service: Service) -> None:
    slow, answered = Slow(body()), list[Batch]()
    submit = service.batch_submissions.submit
    late = threading.Thread(target=lambda: answered.append(submit(OPTIONS, slow, idempotency_key=KEY)))
    late.start()
    slow.began.wait(patience(60))
    batch = send(service)
    plan_batches(service)
    advance_batches(service)
    before = service.batches.get(batch.id)

    slow.end.set()
    late.join()

    assert [first.id for first in answered] == [batch.id]
    assert service.batches.get(batch.id) == before
    assert len(finish(service)) == 3
    assert service.batches.get(batch.id).succeeded == 3


@pytest.mark.parametrize("moment", ["uploading", "validating", "running", "completed"])
@pytest.mark.parametrize(("content", "options"), [(body(4), OPTIONS), (body(), BatchOptions(dry_run=True))])
def test_the_same_key_with_another_request_is_refused_at_any_moment(
    service: Service, moment: str, content: bytes, options: BatchOptions
) -> None:
    slow, refused = Slow(content), list[Exception]()

    def late() -> None:
        try:
            service.batch_submissions.submit(options, slow, idempotency_key=KEY)
        except IdempotencyConflict as error:
            refused.append(error)

    thread = threading.Thread(target=late)
    if moment == "uploading":
        thread.start()
        slow.began.wait(patience(60))
    batch = send(service)
    if moment in ("running", "completed"):
        plan_batches(service)
    if moment == "completed":
        finish(service)
    slow.end.set()
    late() if moment != "uploading" else thread.join()

    assert len(refused) == 1
    assert send(service).id == batch.id, "the same request still gets it"
    assert service.batches.get(batch.id).options == OPTIONS


def test_many_at_once_make_one_batch_and_leave_one_object(service: Service) -> None:
    with ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(lambda _: send(service), range(8)))

    assert len({batch.id for batch in sent}) == 1
    remove_unrecorded_at_once(service)
    assert objects(service) == {sent[0].input}
    assert service.batches.active_ids() == [sent[0].id]


def test_another_owner_may_use_the_same_key(service: Service) -> None:
    owner, _ = service.keys.create("b", default_limits(service.settings))

    assert send(service).id != send(service, options=BatchOptions(owner=owner.id)).id


def test_without_a_key_each_request_is_a_batch(service: Service) -> None:
    assert send(service, key=None).id != send(service, key=None).id


def test_an_upload_is_one_batch_whatever_is_sent_to_its_url_later(service: Service) -> None:
    upload = service.batch_submissions.begin_upload(None)
    service.storage.put(f"batches/{upload.id}/upload.jsonl", body(), content_type="application/jsonl")

    first = service.batch_submissions.submit_uploaded(OPTIONS, upload.id)
    service.storage.put(f"batches/{upload.id}/upload.jsonl", body(9), content_type="application/jsonl")

    assert service.batch_submissions.submit_uploaded(OPTIONS, upload.id).id == first.id
    with pytest.raises(IdempotencyConflict):
        service.batch_submissions.submit_uploaded(BatchOptions(dry_run=True), upload.id)
    assert len(finish(service)) == 3


def test_a_file_whose_batch_could_not_be_recorded_is_removed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise ValkeyUnavailable("Valkey does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(service.batches, "create", away)
        with pytest.raises(ValkeyUnavailable):
            send(service)
    assert len(objects(service)) == 1

    remove_unrecorded_at_once(service)

    assert objects(service) == set()


def test_a_plan_that_comes_too_late_changes_nothing_and_leaves_nothing(service: Service) -> None:
    stale = send(service)
    plan_batches(service)
    finish(service)
    done = service.batches.get(stale.id)

    with pytest.raises(StatusConflict):
        service.batch_planning.plan(stale)

    assert service.batches.get(stale.id) == done
    remove_unrecorded_at_once(service)
    assert objects(service) >= {*done.plan_objects, *done.result_objects, done.input}
    assert len([key for key in objects(service) if "plan-" in key]) == 2


def canceled_and_tried_again(service: Service) -> tuple[Batch, Batch]:
    """A batch as it was running, and as it is planned anew."""
    batch = send(service)
    plan_batches(service)
    running = service.batches.get(batch.id)
    service.batch_control.cancel(running)
    finish(service)
    service.batch_control.retry(service.batches.get(batch.id))
    plan_batches(service)
    return running, service.batches.get(batch.id)


def test_a_light_worker_with_an_old_plan_makes_no_job(service: Service) -> None:
    old, new = canceled_and_tried_again(service)

    assert service.batch_expansion.expand(old, service.batch_plans.read(old)) == 0
    assert service.batch_expansion.expand(new, service.batch_plans.read(new)) == 3
    service.batch_advance.cancel_jobs(old)
    assert len(finish(service)) == 3


def test_a_retry_that_comes_twice_begins_once(service: Service) -> None:
    batch = send(service)
    service.batch_control.cancel(batch)
    ended = service.batches.get(batch.id)
    service.valkey.hset(batch_key(batch.id), "results", "batches/none/")

    with ThreadPoolExecutor(4) as threads:
        tries = [threads.submit(service.batch_control.retry, ended) for _ in range(4)]
    outcomes = [type(each.exception()) for each in tries]

    assert outcomes.count(type(None)) == 1
    assert outcomes.count(StatusConflict) == 3
    assert service.batches.get(batch.id).generation == 1


@pytest.mark.parametrize("retried_first", [True, False])
def test_retention_and_a_retry_do_not_both_have_their_way(service: Service, retried_first: bool) -> None:
    batch = send(service)
    plan_batches(service)
    service.batch_control.cancel(service.batches.get(batch.id))
    finish(service)
    seen = service.batches.get(batch.id)
    if retried_first:
        service.batch_control.retry(seen)

    assert service.batches.forget(seen) is not retried_first

    if retried_first:
        service.retention.remove_batches()
        assert len(finish(service)) == 3
    else:
        with pytest.raises(BatchNotFound):
            service.batch_control.retry(seen)
        service.retention.remove_batches()
        assert objects(service) == set()
        assert [key for key in service.valkey.keys("*") if batch.id in key and "job" not in key] == []


def test_what_a_killed_retention_began_the_next_one_finishes(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = send(service)
    service.batch_control.cancel(batch)
    service.valkey.zadd(FINISHED, {batch.id: 0})
    with monkeypatch.context() as patch:
        patch.setattr(type(service.storage), "delete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            service.retention.remove_batches()
    assert service.valkey.scard(REMOVING) == 1

    service.retention.remove_batches()

    assert objects(service) == set()
    assert service.valkey.scard(REMOVING) == 0


class Dead(BaseException):
    """The process is gone: nothing that it would still do is done."""


def dying(service: Service, patch: pytest.MonkeyPatch, at: int, *, done: bool) -> Callable[[], int]:
    """Let the process die at a call of a server, before or after it takes effect; how many calls there were."""
    calls = [0]

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] > at or (calls[0] == at and not done):
                raise Dead
            answer = original(*arguments, **options)
            if calls[0] == at:
                raise Dead
            return answer

        return counting

    kinds: list[tuple[type, str]] = [(Valkey, "execute_command"), (ValkeyPipeline, "execute")]
    kinds += [(type(service.storage), name) for name in ("put", "upload", "upload_stream", "get", "download", "delete")]
    for kind, name in kinds:
        patch.setattr(kind, name, counted(getattr(kind, name)))
    return lambda: calls[0]


def life(service: Service, step: Callable[[], object]) -> Callable[[int, bool], bool]:
    """Takes a step and dies in it; whether it was taken to its end."""

    def live(at: int, done: bool) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            dying(service, patch, at, done=done)
            try:
                step()
            except Dead:
                return False
        return True

    return live


@pytest.mark.parametrize("done", [True, False])
def test_a_process_may_die_at_any_call(service: Service, done: bool) -> None:
    def everything(at: int) -> bool:
        """The whole life of a batch, in which each of its steps dies once; whether none was that long."""
        service.valkey.flushall()
        steps: list[Callable[[], object]] = [
            lambda: send(service),
            lambda: for_each(service, BatchStatus.VALIDATING, service.batch_planning.plan),
            lambda: for_each(service, BatchStatus.RUNNING, service.batch_advance.advance),
            lambda: for_each(service, BatchStatus.RUNNING, service.batch_advance.advance),
            service.retention.remove_batches,
        ]
        ended = []
        for number, step in enumerate(steps):
            if number == 3:
                draw(service)
            if number == 4:
                finish(service)
                [batch_id] = service.valkey.zrange(FINISHED, 0, -1)
                assert service.batches.get(str(batch_id)).succeeded == 3
                service.valkey.zunionstore(FINISHED, {FINISHED: 0})
            ended.append(life(service, step)(at, done))
            step()
        remove_unrecorded_at_once(service)
        assert objects(service) == set()
        assert service.valkey.scard(REMOVING) == 0
        return all(ended)

    at = 1
    while not everything(at):
        at += 1
    assert at > 10


def for_each(service: Service, status: BatchStatus, step: Callable[[Batch], None]) -> None:
    for batch in active(service, status):
        step(batch)


def active(service: Service, status: BatchStatus) -> list[Batch]:
    return [batch for batch in service.batches.active() if batch.status is status]
