"""A loop that has died, hangs or fails is missed."""

from __future__ import annotations

import os

import pytest

from tasks.loops.rounds import LOOPS, ROUNDS, Round, Rounds, this_process
from tasks.processes import check, rounds_of
from tasks.service import Service
from tasks.valkey import Valkey

EVERY = [name for loops in LOOPS.values() for name in loops]


@pytest.fixture
def rounds(valkey: Valkey) -> Rounds:
    return Rounds(valkey, period_s=5)


def noted(valkey: Valkey, loop: str, seconds_ago: float) -> None:
    """Note that a loop finished a round some time ago."""
    seconds, _ = valkey.time()
    valkey.hset(ROUNDS, loop, Round(at=seconds - seconds_ago, process="1@elsewhere").model_dump_json())


def test_every_loop_has_a_round(service: Service) -> None:
    assert sorted(EVERY) == sorted([*rounds_of(service), "webhooks"])


def test_a_finished_round_has_an_age_and_names_its_process(rounds: Rounds) -> None:
    rounds.finished("leases")

    [age] = [age for age in rounds.ages() if age.loop == "leases"]
    assert age.age_s is not None
    assert age.age_s < 60
    assert not age.overdue
    assert rounds.latest()["leases"].process == this_process()
    assert this_process().startswith(f"{os.getpid()}@")


def test_a_loop_that_fell_silent_is_overdue_within_a_few_periods(rounds: Rounds, valkey: Valkey) -> None:
    noted(valkey, "leases", 29)
    noted(valkey, "deadlines", 31)

    overdue = {age.loop: age.overdue for age in rounds.ages("housekeeping")}

    assert (overdue["leases"], overdue["deadlines"]) == (False, True)


def test_a_loop_without_a_round_has_as_long_as_if_it_had_begun_with_this_process(valkey: Valkey) -> None:
    young, old = Rounds(valkey, period_s=5), Rounds(valkey, period_s=5)
    old._begin -= 10**4

    assert not any(age.overdue for age in young.ages())
    assert all(age.overdue for age in old.ages())


def test_a_note_that_cannot_be_read_counts_as_none(rounds: Rounds, valkey: Valkey) -> None:
    valkey.hset(ROUNDS, "leases", "of another version")

    assert [age.age_s for age in rounds.ages("housekeeping")] == [None] * 4


def test_the_check_of_a_process_looks_at_its_own_loops(rounds: Rounds, valkey: Valkey) -> None:
    for loop in EVERY:
        rounds.finished(loop)
    noted(valkey, "unsent", 10**4)

    check(rounds, "light-worker")
    with pytest.raises(SystemExit, match="the loop unsent last finished a round 10000"):
        check(rounds, "housekeeping")
