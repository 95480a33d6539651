"""Requests to shut down a worker."""

from __future__ import annotations

from tests.support.waiting import wait_until
from workers.run.shutdown import Shutdown


def test_a_worker_told_once_ends_soon_and_told_twice_at_once() -> None:
    shutdown = Shutdown()

    shutdown.request_shutdown()
    wait_until(shutdown.graceful.is_set)
    assert not shutdown.immediate.is_set()
    shutdown.request_shutdown()

    wait_until(shutdown.immediate.is_set)


def test_a_signal_may_come_while_another_one_is_handled() -> None:
    shutdown = Shutdown()
    # As a signal finds it that interrupts Event.set: to set it now would wait for ever.
    with vars(shutdown.graceful)["_cond"]:
        shutdown.request_shutdown()
        shutdown.request_shutdown()

    wait_until(shutdown.immediate.is_set)
