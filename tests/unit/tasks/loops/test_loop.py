"""A loop goes on whatever a round meets, and a process whose loop hangs ends itself."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import ValkeyUnavailable
from tasks.loops.loop import HUNG, Loop, Running, Watch, run_until, within
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[4]


def loop(round_: Callable[[], None], finished: Callable[[str], None] = lambda _: None, max_s: float = 10) -> Loop:
    return Loop("leases", period_s=0.01, max_s=max_s, round=round_, finished=finished)


def waiting_for(event: threading.Event) -> Callable[[], None]:
    def wait() -> None:
        event.wait()

    return wait


@pytest.mark.parametrize("error", [ValueError("a record that nobody foresaw"), ValkeyUnavailable("away")])
def test_a_round_that_raises_is_logged_and_the_next_one_comes(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    stop, rounds, finished = threading.Event(), list[int](), list[str]()

    def failing_at_first() -> None:
        rounds.append(1)
        if len(rounds) <= 3:
            raise error

    thread = threading.Thread(target=run_until, args=(stop, [loop(failing_at_first, finished.append)], 0.01))
    with caplog.at_level(logging.WARNING):
        thread.start()
        wait_until(lambda: len(finished) > 1)
        stop.set()
        thread.join()

    assert len(rounds) >= 5
    assert sum("leases" in record.getMessage() for record in caplog.records) == 3


def test_a_loop_that_hangs_does_not_hold_the_others() -> None:
    stop, release, finished = threading.Event(), threading.Event(), list[str]()
    hangs = loop(waiting_for(release))

    thread = threading.Thread(target=run_until, args=(stop, [hangs, loop(lambda: None, finished.append)], 0.01))
    thread.start()
    wait_until(lambda: len(finished) > 5)
    stop.set()
    release.set()
    thread.join()


HANGING = """
import threading
from tasks.loops.loop import Loop, run_until

hangs = Loop("leases", period_s=0.1, max_s=0.05, round=threading.Event().wait, finished=print)
run_until(threading.Event(), [hangs], tick_s=0.1)
"""


def test_a_process_whose_loop_hangs_ends_itself_and_says_why() -> None:
    process = subprocess.run([sys.executable, "-c", HANGING], cwd=ROOT, capture_output=True, text=True, check=False)

    assert process.returncode == HUNG
    assert "loop leases: a round takes longer than 0.2 s" in process.stderr


DYING = """
import sys, threading
from tasks.loops.loop import Loop, run_until

run_until(threading.Event(), [Loop("leases", 0.1, 10, round=sys.exit, finished=print)], tick_s=0.1)
"""


def test_a_process_whose_loop_is_gone_ends_itself() -> None:
    process = subprocess.run([sys.executable, "-c", DYING], cwd=ROOT, capture_output=True, text=True, check=False)

    assert process.returncode == HUNG
    assert "its thread has ended" in process.stderr


def test_a_round_that_is_slow_within_bounds_is_left_alone_and_so_is_a_process_that_stood_still() -> None:
    release = threading.Event()
    running = Running(loop(waiting_for(release), max_s=10), threading.Event())
    watch = Watch(running)
    running.thread.start()
    wait_until(lambda: running.busy)

    assert [watch.tick(10) for _ in range(5)] == [None] * 5
    assert watch.tick(10) == "a round takes longer than 40 s"
    running._stop.set()
    release.set()


def test_a_stage_leaves_the_rest_to_the_next_round_and_does_at_least_one() -> None:
    assert list(within(0, [1, 2, 3])) == [1]
    assert list(within(60, [1, 2, 3])) == [1, 2, 3]
