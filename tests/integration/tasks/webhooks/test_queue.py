"""Deliveries go out in turn: nothing that is slow, dead or numerous holds up another's."""

from __future__ import annotations

import time
from collections import Counter
from itertools import count

import pytest

from tasks.errors import DeliveryNotFound, InvalidRequest, RecordNotUnderstood
from tasks.jobs.keyspace import WEBHOOKS
from tasks.valkey import Valkey
from tasks.webhooks.deliveries import LEASE_S, LOOKS, Bounds, Deliveries
from tasks.webhooks.delivery import Attempt, DeliveryStatus
from tasks.webhooks.ends import End, Ends
from tasks.webhooks.outcome import Outcome
from tasks.webhooks.stored import Taken
from tests.support.webhooks import pass_time

BOUNDS = Bounds(pending=20, done=10, at_once_for_owner=3, at_once_at_receiver=4, failures=3)
KEEP_S = 3600
numbers = count()


@pytest.fixture
def deliveries(valkey: Valkey) -> Deliveries:
    return Deliveries(valkey, keep_s=KEEP_S, bounds=BOUNDS)


def add(deliveries: Deliveries, valkey: Valkey, owner: str | None, host: str) -> str:
    """A delivery that is due."""
    name = f"job{next(numbers)}"
    valkey.zadd(WEBHOOKS, {name: time.time()})
    deliveries.enlist(End(name, f"msg_{name}", "job.succeeded", owner, f"https://{host}/hook"))
    return f"msg_{name}"


def take_all(deliveries: Deliveries) -> list[Taken]:
    """All that may be sent at once."""
    return list(iter(deliveries.take, None))


def settle(deliveries: Deliveries, taken: Taken, status: DeliveryStatus, pause_s: float = 0) -> bool:
    attempt = Attempt(at=taken.delivery.created_at, status_code=None, reason="as the test has it")
    return deliveries.settle(taken, Outcome(attempt, status, pause_s, answered=status == "delivered"))


def hosts(taken: list[Taken]) -> Counter[str]:
    return Counter(one.delivery.url.split("/")[2] for one in taken)


def test_an_end_becomes_one_delivery_however_often_it_is_listed(deliveries: Deliveries, valkey: Valkey) -> None:
    end = End("job", "msg_job", "job.succeeded", None, "https://example.com/")
    for _ in range(2):
        valkey.zadd(WEBHOOKS, {"job": 1})
        deliveries.enlist(end)
        deliveries.enlist(end)

    assert len(take_all(deliveries)) == 1
    assert Ends(valkey).names(10) == []


def test_a_delivery_is_with_one_sender_at_a_time_and_again_due_when_that_one_dies(
    deliveries: Deliveries, valkey: Valkey
) -> None:
    add(deliveries, valkey, "ada", "a.example")
    (dead,) = take_all(deliveries)
    assert take_all(deliveries) == []

    pass_time(valkey, LEASE_S)
    (second,) = take_all(deliveries)

    assert second.delivery.id == dead.delivery.id
    assert not settle(deliveries, dead, DeliveryStatus.DELIVERED)
    assert settle(deliveries, second, DeliveryStatus.DELIVERED)


def test_the_deliveries_of_an_owner_at_once_are_limited(deliveries: Deliveries, valkey: Valkey) -> None:
    for number in range(10):
        add(deliveries, valkey, "ada", f"{number}.example")
    add(deliveries, valkey, "bob", "b.example")

    taken = take_all(deliveries)

    assert Counter(one.owner for one in taken) == {"ada": BOUNDS.at_once_for_owner, "bob": 1}
    assert len(hosts(taken)) == len(taken)


@pytest.mark.parametrize("spelling", ["r.example", "R.EXAMPLE", "r.example.", "r.example:443"])
def test_the_deliveries_to_a_receiver_at_once_are_limited_in_any_spelling(
    deliveries: Deliveries, valkey: Valkey, spelling: str
) -> None:
    for owner in ("ada", "bob", "cyd"):
        for host in (spelling, "r.example"):
            add(deliveries, valkey, owner, host)

    assert len(take_all(deliveries)) == BOUNDS.at_once_at_receiver


def test_a_place_that_is_free_again_is_used_at_once(deliveries: Deliveries, valkey: Valkey) -> None:
    for _ in range(BOUNDS.at_once_for_owner + 1):
        add(deliveries, valkey, "ada", "a.example")
    first, *_ = take_all(deliveries)

    settle(deliveries, first, DeliveryStatus.DELIVERED)

    assert len(take_all(deliveries)) == 1


def test_one_delivery_does_not_wait_for_the_many_of_another_owner(deliveries: Deliveries, valkey: Valkey) -> None:
    for _ in range(BOUNDS.pending):
        add(deliveries, valkey, "ada", "dead.example")
    mine = add(deliveries, valkey, "bob", "b.example")

    first_two = [deliveries.take(), deliveries.take()]

    assert mine in [taken.delivery.id for taken in first_two if taken]


def test_a_thousand_receivers_that_are_full_delay_no_other(valkey: Valkey) -> None:
    bounds = Bounds(pending=10_000, at_once_for_owner=2000, at_once_at_receiver=1)
    deliveries = Deliveries(valkey, keep_s=KEEP_S, bounds=bounds)
    for number in range(1000):
        add(deliveries, valkey, "ada", f"{number}.example")
        add(deliveries, valkey, "ada", f"{number}.example")
    while deliveries.take():
        pass
    pass_time(valkey, 2)
    mine = add(deliveries, valkey, "bob", "b.example")

    taken = deliveries.take()

    assert taken is not None
    assert taken.delivery.id == mine


def test_a_dead_receiver_is_asked_by_one_at_a_time_ever_less_often(deliveries: Deliveries, valkey: Valkey) -> None:
    for _ in range(BOUNDS.pending):
        add(deliveries, valkey, "ada", "dead.example")
    for one in take_all(deliveries):
        settle(deliveries, one, DeliveryStatus.PENDING, 1000)

    closed = take_all(deliveries)
    pass_time(valkey, BOUNDS.closed_s + 1)
    probe = take_all(deliveries)
    settle(deliveries, probe[0], DeliveryStatus.PENDING, 1000)
    pass_time(valkey, BOUNDS.closed_s + 1)
    still_closed = take_all(deliveries)
    pass_time(valkey, BOUNDS.closed_s)
    second_probe = take_all(deliveries)

    assert [len(taken) for taken in (closed, probe, still_closed, second_probe)] == [0, 1, 0, 1]


def test_a_receiver_that_answers_again_gets_everything_at_once(deliveries: Deliveries, valkey: Valkey) -> None:
    for _ in range(BOUNDS.pending):
        add(deliveries, valkey, "ada", "dead.example")
    for one in take_all(deliveries):
        settle(deliveries, one, DeliveryStatus.PENDING, 1000)
    pass_time(valkey, BOUNDS.closed_s + 1)
    (probe,) = take_all(deliveries)

    settle(deliveries, probe, DeliveryStatus.DELIVERED)

    assert len(take_all(deliveries)) == BOUNDS.at_once_for_owner


def test_the_failures_of_one_owner_do_not_silence_a_receiver_for_another(
    deliveries: Deliveries, valkey: Valkey
) -> None:
    for _ in range(BOUNDS.failures):
        add(deliveries, valkey, "ada", "shared.example")
    for one in take_all(deliveries):
        settle(deliveries, one, DeliveryStatus.PENDING, 1000)

    mine = add(deliveries, valkey, "bob", "shared.example")

    assert [taken.delivery.id for taken in take_all(deliveries)] == [mine]


def test_what_looks_for_the_next_one_costs_the_same_however_much_waits(valkey: Valkey) -> None:
    deliveries = Deliveries(valkey, keep_s=KEEP_S, bounds=Bounds(pending=10**6))

    def commands_of_a_round() -> int:
        before = valkey.info("commandstats")
        while (taken := deliveries.take()) is not None:
            settle(deliveries, taken, DeliveryStatus.PENDING, 1000)
        after = valkey.info("commandstats")
        return sum(after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after)

    def wait_in_line(many: int) -> None:
        for _ in range(many):
            add(deliveries, valkey, "ada", "dead.example")

    wait_in_line(20)
    few = commands_of_a_round()
    pass_time(valkey, 40)
    wait_in_line(2000)
    many = commands_of_a_round()

    assert many < few + 20 * LOOKS


def test_too_many_that_wait_drop_the_oldest_which_the_log_says(deliveries: Deliveries, valkey: Valkey) -> None:
    first = add(deliveries, valkey, "ada", "dead.example")
    for _ in range(BOUNDS.pending):
        add(deliveries, valkey, "ada", "dead.example")

    assert deliveries.get("ada", first).status == "dropped"
    statuses = Counter(one.status for one in deliveries.page("ada", limit=100).deliveries)
    assert statuses == {"pending": BOUNDS.pending, "dropped": 1}


def test_the_log_is_bounded_newest_first_and_read_page_by_page(deliveries: Deliveries, valkey: Valkey) -> None:
    made = [add(deliveries, valkey, "ada", f"{number}.example") for number in range(BOUNDS.done + 5)]
    while taken := deliveries.take():
        settle(deliveries, taken, DeliveryStatus.DELIVERED)

    first = deliveries.page("ada", limit=7)
    second = deliveries.page("ada", limit=7, cursor=first.next_cursor)

    ids = [one.id for page in (first, second) for one in page.deliveries]
    assert ids == made[: -1 - BOUNDS.done : -1]
    assert second.next_cursor is None
    assert deliveries.page("bob", limit=7).deliveries == ()
    with pytest.raises(InvalidRequest):
        deliveries.page("ada", limit=7, cursor="nonsense")


def test_a_delivery_is_sent_again_on_demand_though_its_receiver_has_failed(
    deliveries: Deliveries, valkey: Valkey
) -> None:
    wanted = add(deliveries, valkey, "ada", "dead.example")
    for _ in range(BOUNDS.failures):
        (taken,) = take_all(deliveries)
        settle(deliveries, taken, DeliveryStatus.FAILED)
        add(deliveries, valkey, "ada", "dead.example")
    assert take_all(deliveries) == []

    again = deliveries.redeliver("ada", wanted)

    assert (again.status, again.id) == ("pending", wanted)
    assert len(again.attempts) == 1
    assert len(take_all(deliveries)) == 1


def test_a_delivery_that_is_being_sent_is_not_sent_twice_at_once(deliveries: Deliveries, valkey: Valkey) -> None:
    wanted = add(deliveries, valkey, "ada", "a.example")
    (taken,) = take_all(deliveries)

    deliveries.redeliver("ada", wanted)

    assert take_all(deliveries) == []
    assert settle(deliveries, taken, DeliveryStatus.DELIVERED)


@pytest.mark.parametrize("owner", ["bob", None, ""])
def test_what_is_anothers_is_not_there(deliveries: Deliveries, valkey: Valkey, owner: str | None) -> None:
    theirs = add(deliveries, valkey, "ada", "a.example")

    with pytest.raises(DeliveryNotFound):
        deliveries.get(owner, theirs)
    with pytest.raises(DeliveryNotFound):
        deliveries.redeliver(owner, theirs)


def test_what_has_expired_is_forgotten_everywhere(deliveries: Deliveries, valkey: Valkey) -> None:
    gone = add(deliveries, valkey, "ada", "a.example")
    valkey.delete(f"{WEBHOOKS}:delivery:{gone}")

    taken = take_all(deliveries)

    assert taken == []
    assert valkey.zcard(f"{WEBHOOKS}:owners") == 0
    assert deliveries.page("ada", limit=10).deliveries == ()


def test_a_delivery_of_a_newer_version_hides_no_other_and_is_left_to_a_newer_process(
    deliveries: Deliveries, valkey: Valkey
) -> None:
    newer, mine = (add(deliveries, valkey, "ada", "a.example") for _ in range(2))
    valkey.hset(f"{WEBHOOKS}:delivery:{newer}", "status", "of the future")

    assert [taken.delivery.id for taken in take_all(deliveries)] == [mine]
    assert [one.id for one in deliveries.page("ada", limit=10).deliveries] == [mine]
    with pytest.raises(RecordNotUnderstood):
        deliveries.get("ada", newer)
