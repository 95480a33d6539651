"""One thread uses the device; who asks first has it first."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar

import pytest
import torch

from tests.support.waiting import wait_until
from workers.base.device_thread import DeviceThread, on_one_core

pytestmark = pytest.mark.torch


class Crowd:
    """Threads that ask for the device one after the other, while it is held, and note when they have it."""

    def __init__(self) -> None:
        self.device = DeviceThread()
        self.order: list[str] = []
        self._pool = ThreadPoolExecutor(10)

    def ask(self, name: str, check_needed: Callable[[], None] = lambda: None) -> Future[None]:
        """Ask in another thread, and wait until it stands in the queue. Names of interactive ones say so."""
        before = len(self.device._waiting)
        first = name.startswith("interactive")
        asked = self._pool.submit(self.device.run, lambda: self.order.append(name), check_needed, first=first)
        wait_until(lambda: asked.done() or len(self.device._waiting) > before)
        return asked

    def leave(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    crowd = Crowd()
    yield crowd
    crowd.leave()


def test_all_calls_are_made_on_one_thread_and_not_on_the_caller_s(crowd: Crowd) -> None:
    with ThreadPoolExecutor(3) as callers:
        asked = [callers.submit(crowd.device.run, threading.get_ident) for _ in range(9)]

    assert len({future.result() for future in asked}) == 1
    assert asked[0].result() != threading.get_ident()


def test_calls_are_made_in_the_order_in_which_they_were_asked_for(crowd: Crowd) -> None:
    names = [str(number) for number in range(8)]

    crowd.device.run(lambda: [crowd.ask(name) for name in names])
    crowd.leave()

    assert crowd.order == names


def test_who_goes_first_goes_before_all_that_wait_and_not_before_each_other(crowd: Crowd) -> None:
    names = ["backfill 1", "backfill 2", "interactive 1", "interactive 2"]

    crowd.device.run(lambda: [crowd.ask(name) for name in names])
    crowd.leave()

    assert crowd.order == ["interactive 1", "interactive 2", "backfill 1", "backfill 2"]


def test_amid_a_call_those_who_go_first_have_their_turn_and_nobody_else(crowd: Crowd) -> None:
    def call() -> None:
        for name, wanted in (("backfill", False), ("interactive 1", True), ("interactive 2", True)):
            crowd.ask(name)
            assert crowd.device.is_wanted == wanted
        crowd.device.let_first_go()
        assert not crowd.device.is_wanted
        crowd.order.append("this one")

    crowd.device.run(call)
    crowd.leave()

    assert crowd.order == ["interactive 1", "interactive 2", "this one", "backfill"]


def test_it_is_taken_while_somebody_has_it_or_waits(crowd: Crowd) -> None:
    assert not crowd.device.is_taken

    assert crowd.device.run(lambda: crowd.device.is_taken)
    wait_until(lambda: not crowd.device.is_taken)


def test_who_waits_may_give_up_and_is_called_no_more(crowd: Crowd) -> None:
    giving_up = threading.Event()

    def check_needed() -> None:
        if giving_up.is_set():
            raise TimeoutError

    def call() -> None:
        gone, _ = crowd.ask("gone", check_needed), crowd.ask("next")
        giving_up.set()
        with pytest.raises(TimeoutError):
            gone.result()

    crowd.device.run(call)
    crowd.leave()

    assert crowd.order == ["next"]


def test_who_gave_up_just_before_the_call_is_not_called(crowd: Crowd) -> None:
    def check_needed() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        crowd.device.run(lambda: crowd.order.append("called"), check_needed)

    assert crowd.order == []


@pytest.mark.parametrize("error", [ValueError("drawing failed"), SystemExit("told to end")])
def test_an_error_is_its_caller_s_and_the_next_call_is_made(crowd: Crowd, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        crowd.device.run(fail)

    assert crowd.device.run(lambda: "drawn") == "drawn"


def test_what_a_failed_call_held_is_let_go_at_once(crowd: Crowd) -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def fail() -> None:
        latents = torch.zeros(4)
        held.append(weakref.ref(latents))
        raise ValueError("drawing failed")

    gc.disable()  # which would find a cycle in its own time
    try:
        with pytest.raises(ValueError, match="drawing failed"):
            crowd.device.run(fail)
        crowd.device.run(lambda: None)
        assert held[0]() is None
    finally:
        gc.enable()


def test_other_threads_use_one_core_of_torch_and_get_theirs_back() -> None:
    def threads() -> tuple[int, int, int]:
        before = torch.get_num_threads()
        with on_one_core():
            within = torch.get_num_threads()
        return before, within, torch.get_num_threads()

    with ThreadPoolExecutor(1) as other:
        before, within, after = other.submit(threads).result()

    assert within == 1
    assert before == after == torch.get_num_threads()


def test_a_call_has_the_context_of_the_thread_that_asks() -> None:
    device, job = DeviceThread(), ContextVar("job", default="none")

    for name in ("first", "second"):
        job.set(name)
        assert device.run(job.get) == name
