"""How a worker learns that it shall end."""

from __future__ import annotations

from tests.support.waiting import wait_until
from workers.run.shutdown import Stops


def test_a_worker_told_once_ends_soon_and_told_twice_at_once() -> None:
    stops = Stops()

    stops.told_to_end()
    wait_until(stops.soon.is_set)
    assert not stops.now.is_set()
    stops.told_to_end()

    wait_until(stops.now.is_set)


def test_a_signal_may_come_while_another_one_is_handled() -> None:
    stops = Stops()
    with stops.soon._cond:  # as a signal finds it that interrupts Event.set: to set it now would wait for ever
        stops.told_to_end()
        stops.told_to_end()

    wait_until(stops.now.is_set)
