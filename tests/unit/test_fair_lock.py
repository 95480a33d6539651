"""Who asks first draws first."""

from __future__ import annotations

import threading
import time

import pytest

from workers.fair_lock import FairLock


def no_reason() -> None:
    """Nobody gives up."""


def test_it_is_taken_in_the_order_in_which_it_was_asked_for() -> None:
    lock, order, threads = FairLock(), list[int](), list[threading.Thread]()

    def take(number: int) -> None:
        with lock.turn(no_reason):
            order.append(number)

    with lock.turn(no_reason):
        for number in range(8):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while len(lock._queue) < number + 2:  # it has asked
                time.sleep(0.001)
    for thread in threads:
        thread.join()

    assert order == list(range(8))


def test_who_asks_again_goes_to_the_end_of_the_queue() -> None:
    lock, turns = FairLock(), list[str]()

    def take(name: str) -> None:
        for _ in range(20):
            with lock.turn(no_reason):
                turns.append(name)
                time.sleep(0.002)

    threads = [threading.Thread(target=take, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    middle = "".join(turns[6:-6])
    assert all(len(set(middle[place : place + 3])) == 3 for place in range(0, len(middle) - 2, 3))


def test_who_goes_first_goes_before_all_that_wait_and_not_before_each_other() -> None:
    lock, order, threads = FairLock(), list[str](), list[threading.Thread]()

    def take(name: str) -> None:
        with lock.turn(no_reason, first=name.startswith("interactive")):
            order.append(name)

    with lock.turn(no_reason):
        for place, name in enumerate(["backfill 1", "backfill 2", "interactive 1", "interactive 2"]):
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            while len(lock._queue) < place + 2:  # it has asked
                time.sleep(0.001)
    for thread in threads:
        thread.join()

    assert order == ["interactive 1", "interactive 2", "backfill 1", "backfill 2"]


def test_who_holds_it_steps_aside_for_those_who_go_first_and_for_nobody_else() -> None:
    lock, order, threads = FairLock(), list[str](), list[threading.Thread]()

    def take(name: str) -> None:
        with lock.turn(no_reason, first=name.startswith("interactive")):
            order.append(name)

    with lock.turn(no_reason) as turn:
        for place, name in enumerate(["backfill", "interactive 1", "interactive 2"]):
            assert lock.is_wanted(turn) == (place > 1)
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            while len(lock._queue) < place + 2:  # it has asked
                time.sleep(0.001)
        lock.step_aside(turn)
        order.append("this one")
    for thread in threads:
        thread.join()

    assert order == ["interactive 1", "interactive 2", "this one", "backfill"]


def test_who_goes_first_is_not_asked_to_step_aside() -> None:
    lock = FairLock()
    with lock.turn(no_reason, first=True) as turn:
        other = threading.Thread(target=lambda: lock.turn(no_reason, first=True).__enter__())
        other.start()
        while len(lock._queue) < 2:
            time.sleep(0.001)

        assert not lock.is_wanted(turn)
    other.join()


def test_a_waiting_thread_may_give_up_and_the_next_one_has_its_place() -> None:
    lock, taken = FairLock(), threading.Event()
    giving_up = threading.Event()

    def give_up() -> None:
        if giving_up.is_set():
            raise TimeoutError

    def wait() -> None:
        with pytest.raises(TimeoutError), lock.turn(give_up):
            pytest.fail("it had its turn")

    def take() -> None:
        with lock.turn(no_reason):
            taken.set()

    with lock.turn(no_reason):
        first = threading.Thread(target=wait)
        first.start()
        while len(lock._queue) < 2:
            time.sleep(0.001)
        second = threading.Thread(target=take)
        second.start()
        giving_up.set()
        first.join()
        assert not taken.is_set()
    second.join()

    assert taken.is_set()


def test_it_is_free_again_after_an_error() -> None:
    lock = FairLock()
    with pytest.raises(ValueError, match="drawing"), lock.turn(no_reason):
        raise ValueError("drawing failed")

    with lock.turn(no_reason):
        pass
