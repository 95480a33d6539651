"""Whatever senders, receivers and owners do: no delivery is with two senders, no bound is passed, and each arrives."""

from __future__ import annotations

import time
from collections import Counter
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tasks.jobs.keyspace import WEBHOOKS
from tasks.valkey import Valkey
from tasks.webhooks.deliveries import LEASE_S, Bounds, Deliveries
from tasks.webhooks.delivery import Attempt, DeliveryStatus
from tasks.webhooks.ends import End
from tasks.webhooks.outcome import Outcome
from tasks.webhooks.stored import Taken
from tests.support.webhooks import pass_time

BOUNDS = Bounds(at_once_for_owner=2, at_once_at_receiver=3, failures=2)
OWNERS, HOSTS = ("ada", "bob", "cyd"), ("a.example", "b.example")
A_DAY_S = 86_400


def outcome(taken: Taken, status: DeliveryStatus, pause_s: float = 0) -> Outcome:
    attempt = Attempt(at=taken.delivery.created_at, status_code=None, reason="as the test has it")
    return Outcome(attempt, status, pause_s, answered=status is DeliveryStatus.DELIVERED)


class Queue(RuleBasedStateMachine):
    """Senders that take, settle and die. ``held`` is what a living sender has."""

    valkey: Valkey

    def __init__(self) -> None:
        super().__init__()
        self.valkey.flushall()
        self.deliveries = Deliveries(self.valkey, keep_s=A_DAY_S, bounds=BOUNDS)
        self.numbers = count()
        self.owners: dict[str, str] = {}
        self.held: dict[str, Taken] = {}

    @rule(owner=st.sampled_from(OWNERS), host=st.sampled_from(HOSTS))
    def end(self, owner: str, host: str) -> None:
        name = f"job{next(self.numbers)}"
        self.valkey.zadd(WEBHOOKS, {name: time.time()})
        self.deliveries.enlist(End(name, f"msg_{name}", "job.succeeded", owner, f"https://{host}/hook"))
        self.owners[f"msg_{name}"] = owner

    @rule()
    def take(self) -> None:
        if taken := self.deliveries.take():
            assert taken.delivery.id not in self.held
            self.held[taken.delivery.id] = taken

    @rule(data=st.data(), status=st.sampled_from(["delivered", "pending", "failed"]), pause_s=st.sampled_from([0, 100]))
    def settle(self, data: st.DataObject, status: str, pause_s: float) -> None:
        if self.held:
            taken = self.held.pop(data.draw(st.sampled_from(sorted(self.held))))
            assert self.deliveries.settle(taken, outcome(taken, DeliveryStatus(status), pause_s))

    @rule()
    def die(self) -> None:
        """Every sender is killed, and long afterwards settles what is no longer its own."""
        dead, self.held = self.held, {}
        pass_time(self.valkey, LEASE_S)
        self.take()
        for delivery_id in self.held.keys() & dead.keys():
            assert not self.deliveries.settle(dead[delivery_id], outcome(dead[delivery_id], DeliveryStatus.FAILED))

    @rule(data=st.data())
    def redeliver(self, data: st.DataObject) -> None:
        if self.owners:
            delivery_id = data.draw(st.sampled_from(sorted(self.owners)))
            self.deliveries.redeliver(self.owners[delivery_id], delivery_id)

    @invariant()
    def bounds_hold(self) -> None:
        owners = Counter(taken.owner for taken in self.held.values())
        hosts = Counter(taken.delivery.url for taken in self.held.values())
        assert all(number <= BOUNDS.at_once_for_owner for number in owners.values())
        assert all(number <= BOUNDS.at_once_at_receiver for number in hosts.values())

    def teardown(self) -> None:
        """In the end every receiver is well."""
        for taken in self.held.values():
            self.deliveries.settle(taken, outcome(taken, DeliveryStatus.DELIVERED))
        pass_time(self.valkey, A_DAY_S)
        while last := self.deliveries.take():
            self.deliveries.settle(last, outcome(last, DeliveryStatus.DELIVERED))
        statuses = {name: self.deliveries.get(owner, name).status for name, owner in self.owners.items()}
        assert set(statuses.values()) <= {DeliveryStatus.DELIVERED, DeliveryStatus.FAILED}
        waiting = [key for key in self.valkey.scan_iter(f"{WEBHOOKS}:*") if key.split(":")[2] in ("lane", "sending")]
        assert waiting == []


def test_the_invariants_of_the_queue(valkey: Valkey) -> None:
    class OnThisServer(Queue):
        pass

    OnThisServer.valkey = valkey
    run_state_machine_as_test(
        OnThisServer, settings=settings(max_examples=40, stateful_step_count=30, deadline=None, database=None)
    )
