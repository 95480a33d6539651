"""Work of one owner that takes long delays no other owner's."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tasks.loops import turns
from tasks.loops.turns import AT_ONCE, Turns
from tests.support.waiting import patience, wait_until


def waiting_for(event: threading.Event) -> Callable[[], None]:
    def wait() -> None:
        event.wait()

    return wait


def test_an_owner_whose_work_takes_long_delays_no_other() -> None:
    release, done = threading.Event(), list[str]()
    every = Turns("planning")

    every.begin({"a": waiting_for(release), "b": lambda: done.append("b")})
    wait_until(lambda: done == ["b"])
    every.begin({"a": lambda: done.append("a again"), "c": lambda: done.append("c")})
    wait_until(lambda: "c" in done)
    release.set()
    every.join(patience(30))

    assert done == ["b", "c"], "an owner has one turn at a time"


def test_where_there_are_more_owners_than_turns_each_has_one_in_time() -> None:
    owners, served = [f"owner {number}" for number in range(3 * AT_ONCE)], list[str]()
    every = Turns("planning")

    for _ in range(3):
        every.begin({owner: lambda owner=owner: served.append(owner) for owner in owners})  # type: ignore[misc]
        every.join(patience(30))

    assert sorted(served) == sorted(owners)


def test_work_that_raises_is_logged_and_its_owner_has_another_turn(caplog: pytest.LogCaptureFixture) -> None:
    done = list[int]()
    every = Turns("planning")

    def failing() -> None:
        done.append(1)
        raise KeyError("nobody foresaw this")

    for _ in range(2):
        every.begin({"a": failing})
        every.join(patience(30))

    assert len(done) == 2
    assert "planning failed" in caplog.text


def test_a_turn_that_hangs_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    release, reasons = threading.Event(), list[str]()
    monkeypatch.setattr(turns, "MAX_S", 0)
    monkeypatch.setattr(turns, "end_process", reasons.append)
    every = Turns("planning")

    every.begin({"a": waiting_for(release)})
    every.begin({})
    release.set()

    assert reasons == ["planning of a takes longer than 0 s"]
