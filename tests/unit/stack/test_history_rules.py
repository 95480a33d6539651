"""Every rule of a history is broken by the history that breaks it, and by none that keeps it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from stack.history.checker import check
from stack.history.event import Kind, Phase, Request, SeenAdapter, SeenDeliveries, SeenJobs
from stack.history.violation import Rule
from tasks.batches.batch import BatchStatus
from tasks.jobs.job import Status
from tasks.webhooks.delivery import DeliveryStatus
from tests.support.histories import (
    BLUE,
    RED,
    Story,
    batch,
    canceled,
    delivery,
    line,
    queued,
    running,
    succeeded,
)

N = SeenAdapter(name="n", sha256="red")
COMPLETED = batch(BatchStatus.COMPLETED, succeeded=2)
LIST = Request(kind=Kind.LIST_JOBS)
RETRY = Request(kind=Kind.RETRY_BATCH, target="b")


def sent() -> Story:
    """A batch ``b`` of two lines."""
    return Story().send(0, 1, batch(BatchStatus.VALIDATING, lines=0))


def two_ids() -> Story:
    return Story().submit(0, 1, queued("j")).submit(2, 3, queued("i"))


BROKEN: Mapping[str, tuple[Rule, Story]] = {
    "two answers to one key": (Rule.ONE_FOR_A_KEY, two_ids()),
    "two answers to one key at once": (
        Rule.ONE_FOR_A_KEY,
        Story().submit(0, 5, queued("j")).submit(1, 4, queued("i")),
    ),
    "a second job that only the list shows": (
        Rule.ONE_FOR_A_KEY,
        Story().submit(0, 1, queued("j")).submit(2).add(LIST, 5, 6, SeenJobs(jobs=(queued("i"),), complete=False)),
    ),
    "two batches for one key": (
        Rule.ONE_FOR_A_KEY,
        sent().send(2, 3, batch(BatchStatus.RUNNING).model_copy(update={"id": "c"})),
    ),
    "a job that was refused": (
        Rule.REFUSED_IS_NOT_DONE,
        Story().submit(0, 1, phase=Phase.FAIL).add(LIST, 2, 3, SeenJobs(jobs=(queued(),), complete=False)),
    ),
    "queued after running at the same attempt": (
        Rule.FORWARD,
        Story().poll(0, 1, running(1)).poll(2, 3, queued(attempt=0)),
    ),
    "an attempt that falls": (Rule.FORWARD, Story().poll(0, 1, running(2)).poll(2, 3, running(1))),
    "running after its end": (Rule.FORWARD, Story().poll(0, 1, succeeded()).poll(2, 3, running(2))),
    "drawn after it was canceled": (Rule.END_IS_FINAL, Story().poll(0, 1, canceled()).poll(2, 3, succeeded())),
    "other images later": (Rule.END_IS_FINAL, Story().poll(0, 3, succeeded(RED)).poll(1, 2, succeeded(BLUE))),
    "a webhook that tells another end": (
        Rule.END_IS_FINAL,
        Story().poll(0, 1, succeeded(RED)).told(2, canceled(1)),
    ),
    "a job that is gone": (
        Rule.NOTHING_VANISHES,
        Story().submit(0, 1, queued()).refused(Kind.POLL_JOB, "j", 2, 3, 404),
    ),
    "a job that is gone, long before Valkey is emptied": (
        Rule.NOTHING_VANISHES,
        Story().submit(0, 1, queued()).refused(Kind.POLL_JOB, "j", 2, 3, 404).emptied(4, 5),
    ),
    "a batch that is gone": (Rule.NOTHING_VANISHES, sent().refused(Kind.READ_BATCH, "b", 2, 3, 404)),
    "a list that lacks one": (
        Rule.LIST_IS_COMPLETE,
        Story().submit(0, 1, queued()).add(LIST, 2, 3, SeenJobs(jobs=(), complete=True)),
    ),
    "a conflict and no end": (
        Rule.CONFLICT_IS_AN_END,
        Story().refused(Kind.CANCEL_JOB, "j", 0, 1, 409).poll(2, 3, running()),
    ),
    "success without an image": (
        Rule.RECORD_IS_COHERENT,
        Story().poll(0, 1, succeeded().model_copy(update={"images": ()})),
    ),
    "more images than were asked for": (
        Rule.RECORD_IS_COHERENT,
        Story().submit(0, 1, succeeded().model_copy(update={"images": (RED, BLUE)})),
    ),
    "failure without an error": (
        Rule.RECORD_IS_COHERENT,
        Story().poll(0, 1, canceled().model_copy(update={"status": Status.FAILED})),
    ),
    "success without an attempt": (Rule.RECORD_IS_COHERENT, Story().poll(0, 1, succeeded(attempt=0))),
    "other bytes": (Rule.IMAGE_AS_RECORDED, Story().fetch(0, 1, BLUE)),
    "cut bytes": (Rule.IMAGE_AS_RECORDED, Story().fetch(0, 1, RED.model_copy(update={"size_bytes": 6}))),
    "no bytes": (Rule.IMAGE_AS_RECORDED, Story().refused(Kind.FETCH_IMAGE, "j", 0, 1, 404)),
    "a stranger's job": (Rule.OWNER_ALONE, Story().submit(0, 1, queued()).poll(2, 3, queued(), owner="b")),
    "a job that never ends": (Rule.ALL_ENDS, Story().submit(0, 1, queued()).calm(2).poll(3, 4, running())),
    "a job that is not asked for": (Rule.ALL_ENDS, Story().submit(0, 1, queued()).calm(2)),
    "a batch that never ends": (Rule.ALL_ENDS, sent().calm(2).read(3, 4, batch(BatchStatus.RUNNING))),
    "silence when all is calm": (Rule.ALL_IS_ANSWERED, Story().calm(0).submit(1)),
    "a batch that is planned again": (
        Rule.BATCH_FORWARD,
        sent().read(2, 3, batch(BatchStatus.RUNNING)).read(4, 5, batch(BatchStatus.VALIDATING)),
    ),
    "a counter that falls": (
        Rule.BATCH_FORWARD,
        sent().read(2, 3, batch(BatchStatus.RUNNING, succeeded=2)).read(4, 5, batch(BatchStatus.RUNNING, succeeded=1)),
    ),
    "a batch that ends twice": (
        Rule.BATCH_FORWARD,
        sent().read(2, 3, COMPLETED).read(4, 5, batch(BatchStatus.COMPLETED, succeeded=1, failed=1)),
    ),
    "more results than lines": (
        Rule.COUNTERS_ADD_UP,
        sent().read(2, 3, batch(BatchStatus.RUNNING, lines=2, succeeded=6)),
    ),
    "an end with lines that wait": (
        Rule.COUNTERS_ADD_UP,
        sent().read(2, 3, batch(BatchStatus.COMPLETED, succeeded=1, waiting=1)),
    ),
    "a canceled batch that lost a line": (
        Rule.COUNTERS_ADD_UP,
        sent().read(2, 3, batch(BatchStatus.CANCELED, succeeded=1)),
    ),
    "fewer lines than the file has": (
        Rule.COUNTERS_ADD_UP,
        sent().read(2, 3, batch(BatchStatus.COMPLETED, lines=1, succeeded=1)),
    ),
    "a line with two results": (Rule.ONE_RESULT_A_LINE, sent().results(2, 3, line(1, "x"), line(1, "x"))),
    "a result of another line": (Rule.ONE_RESULT_A_LINE, sent().results(2, 3, line(1, "y"))),
    "a result that is missing": (Rule.ONE_RESULT_A_LINE, sent().read(2, 3, COMPLETED).results(4, 5, line(1, "x"))),
    "results that are not those counted": (
        Rule.ONE_RESULT_A_LINE,
        sent().read(2, 3, COMPLETED).results(4, 5, line(1, "x"), line(2, "y", None)),
    ),
    "a result that is gone": (Rule.RESULT_IS_FINAL, sent().results(2, 3, line(1, "x")).results(4, 5)),
    "a result that changes": (
        Rule.RESULT_IS_FINAL,
        sent().results(2, 3, line(1, "x")).add(RETRY, 4, 5).results(6, 7, line(1, "x", BLUE)),
    ),
    "a failure that changes without a retry": (
        Rule.RESULT_IS_FINAL,
        sent().results(2, 3, line(1, "x", None)).results(6, 7, line(1, "x", BLUE)),
    ),
    "a result other than its job": (
        Rule.RESULT_IS_FINAL,
        sent().poll(2, 3, succeeded(BLUE, job="b-1")).results(4, 5, line(1, "x", RED)),
    ),
    "an adapter that is gone": (Rule.ADAPTER_STAYS, Story().register(0, 1).catalogue(2, 3)),
    "an adapter with another file": (Rule.ADAPTER_STAYS, Story().register(0, 1, file=BLUE).catalogue(2, 3, N)),
    "an adapter that cannot be used": (
        Rule.ADAPTER_STAYS,
        Story().register(0, 1).submit(2, 3, phase=Phase.FAIL, adapters=("n",), code="adapter_not_found"),
    ),
    "an adapter that comes back": (Rule.ADAPTER_GOES, Story().register(0, 1).remove(2, 3).catalogue(4, 5, N)),
    "an adapter that was refused": (
        Rule.ADAPTER_GOES,
        Story().register(0, 1, phase=Phase.FAIL).catalogue(2, 3, N),
    ),
    "one name for two files": (Rule.NAME_IS_UNIQUE, Story().register(0, 3).register(1, 2, file=BLUE)),
    "a forged webhook": (Rule.WEBHOOK_IS_GENUINE, Story().told(0, succeeded(), genuine=False)),
    "a webhook too early": (Rule.WEBHOOK_TELLS_AN_END, Story().told(0, running())),
    "an end that is not told": (
        Rule.EVERY_END_IS_TOLD,
        Story().submit(0, 1, queued()).calm(2).log(3, 4, SeenDeliveries(deliveries=())).poll(3, 4, succeeded()),
    ),
    "a delivery that never came": (Rule.EVERY_END_IS_TOLD, Story().log(0, 1, delivery(DeliveryStatus.DELIVERED))),
    "one end with two webhook ids": (
        Rule.WEBHOOK_ID_IS_STABLE,
        Story().told(0, succeeded(), webhook="v").told(1, succeeded(), webhook="w"),
    ),
    "one webhook id for two ends": (
        Rule.WEBHOOK_ID_IS_STABLE,
        Story().told(0, succeeded()).told(1, succeeded(job="i")),
    ),
}

KEPT: Mapping[str, Story] = {
    "a submission that is refused for its other adapter": (
        Story().register(0, 1).submit(2, 3, phase=Phase.FAIL, adapters=("n", "m"), code="adapter_not_found")
    ),
    "nothing": Story(),
    "a whole life": (
        Story()
        .submit(0)  # the answer is lost
        .submit(1, 2, queued())
        .poll(3, 4, running(1))
        .poll(5, 6, queued(attempt=1))
        .poll(7, 8, running(2))
        .told(9, succeeded(attempt=2))
        .told(9.5, succeeded(attempt=2))
        .fetch(10, 11, RED)
        .refused(Kind.CANCEL_JOB, "j", 10, 11, 409)
        .calm(12)
        .poll(13, 14, succeeded(attempt=2))
        .add(LIST, 13, 14, SeenJobs(jobs=(succeeded(attempt=2),), complete=True))
    ),
    "a delivery that is still to come": (
        Story().submit(0, 1, queued()).calm(2).poll(3, 4, succeeded()).log(3, 4, delivery(DeliveryStatus.PENDING))
    ),
    "a delivery that came": Story().told(0, succeeded()).log(1, 2, delivery(DeliveryStatus.DELIVERED)),
    "polls that overtake each other": Story().poll(0, 9, queued()).poll(1, 8, running()).poll(2, 7, queued()),
    "a second job after Valkey was emptied": (
        Story().submit(0, 1, queued("j")).emptied(2, 3).submit(4, 5, queued("i"))
    ),
    "what Valkey knew is gone with it": (
        Story().submit(0, 1, queued()).emptied(2, 3).refused(Kind.POLL_JOB, "j", 4, 5, 404).calm(6)
    ),
    "Valkey is emptied while a client polls": (
        Story().submit(0, 1, queued()).refused(Kind.POLL_JOB, "j", 2, 6, 404).emptied(3, 5)
    ),
    "a stranger finds nothing": (
        Story()
        .submit(0, 1, queued())
        .add(Request(kind=Kind.POLL_JOB, target="j"), 2, 3, phase=Phase.FAIL, status=404, owner="b")
    ),
    "a refused try beside one that was accepted": Story().submit(0, 3, queued()).submit(1, 2, phase=Phase.FAIL),
    "storage that fails for a moment": Story().add(
        Request(kind=Kind.FETCH_IMAGE, target="j", file=RED), 0, 1, phase=Phase.INFO, status=503
    ),
    "a batch": (
        sent()
        .send(0, 9, batch(BatchStatus.RUNNING, queued=1, waiting=1))
        .read(2, 3, batch(BatchStatus.RUNNING, waiting=2))
        .results(2, 3, line(2, "y"))
        .poll(2, 3, succeeded(RED, job="b-1"))
        .calm(4)
        .read(5, 6, COMPLETED)
        .results(7, 8, line(1, "x"), line(2, "y"))
    ),
    "a batch that is tried again": (
        sent()
        .read(2, 3, batch(BatchStatus.COMPLETED, succeeded=1, failed=1))
        .results(3, 4, line(1, "x"), line(2, "y", None))
        .add(RETRY, 5)  # the answer is lost
        .read(6, 7, batch(BatchStatus.VALIDATING, succeeded=1, failed=1))
        .read(8, 9, batch(BatchStatus.COMPLETED, succeeded=2))
        .results(10, 11, line(1, "x"), line(2, "y", BLUE))
    ),
    "an adapter that comes and goes": (
        Story()
        .catalogue(0, 1)
        .register(2, 3)
        .register(2, 4)  # sent twice
        .catalogue(5, 6, N)
        .remove(7, 8)
        .catalogue(9, 10)
        .register(11, 12, file=BLUE)
        .catalogue(13, 14, N.model_copy(update={"sha256": "blue"}))
    ),
    "an adapter whose removal is not answered": (
        Story().register(0, 1).add(Request(kind=Kind.REMOVE_ADAPTER, target="n"), 2).catalogue(5, 6)
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_history_that_breaks_a_rule_is_caught(name: str) -> None:
    rule, story = BROKEN[name]

    assert rule in {violation.rule for violation in check(story.events)}


@pytest.mark.parametrize("name", KEPT)
def test_a_history_that_keeps_them_is_clean(name: str) -> None:
    assert check(KEPT[name].events) == ()


def test_every_rule_has_a_history_that_breaks_it() -> None:
    assert {rule for rule, _ in BROKEN.values()} == set(Rule)


def test_a_violation_names_the_operations_that_show_it() -> None:
    (violation,) = check(two_ids().events)

    assert violation.subject == "k"
    assert violation.operations == (0, 2)
    assert "has j and i" in violation.what


def test_an_end_without_a_beginning_is_not_a_history() -> None:
    events = Story().submit(0, 1, queued()).events[1:]

    with pytest.raises(ValueError, match="ends without having begun"):
        check(events)
