"""Progress of an attempt, and its deadlines."""

from __future__ import annotations

import pytest

from tests.support.jobs import SPEC
from workers.activity import Activity, Bounds, Phase
from workers.run.watchdog import AwakeClock

BOUNDS = Bounds(stall_s=60, attempt_s=1800, storage_s=120, load_s=10)


class Clock:
    """Shows what a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_makes_no_progress_for_too_long_is_overdue_and_says_in_which_stage(clock: Clock) -> None:
    activity = Activity(1000, clock)
    activity.begin(Phase.DRAWING, 60)
    clock.now = 59
    activity.note_progress()
    clock.now = 118
    assert activity.overdue() is None

    clock.now = 120

    assert activity.overdue() == "no progress for 61 s while drawing"


def test_what_waits_for_others_is_never_overdue_and_its_wait_does_not_count(clock: Clock) -> None:
    activity = Activity(100, clock)
    clock.now = 5000
    assert activity.overdue() is None

    activity.begin(Phase.DRAWING, 60)
    clock.now = 5050

    assert activity.overdue() is None


def test_progress_without_an_end_is_overdue_too(clock: Clock) -> None:
    activity = Activity(100, clock)
    activity.begin(Phase.PUBLISHING, 60)
    for now in range(0, 120, 10):
        clock.now = now
        activity.note_progress()

    assert activity.overdue() == "no end after 110 s, while storing its images"


def test_a_canceled_drawing_must_end_sooner(clock: Clock) -> None:
    activity = Activity(1000, clock)
    activity.begin(Phase.DRAWING, 60)
    clock.now = 10
    activity.request_end()
    clock.now = 24
    assert activity.overdue() is None

    clock.now = 26

    assert activity.overdue() == "no end 16 s after it was canceled, while drawing"


def test_slow_devices_are_given_twenty_times_what_was_measured() -> None:
    pixel_steps = SPEC.width * SPEC.height
    slow = Bounds(stall_s=60, attempt_s=1800, storage_s=120, pixel_step_s=10 / pixel_steps)

    assert BOUNDS.step_s(SPEC, 1) == 60
    assert slow.step_s(SPEC, 1) == pytest.approx(200)
    assert slow.step_s(SPEC, 4) == pytest.approx(800)
    assert slow.max_s(SPEC, 1) == pytest.approx(max(1800, 200 * SPEC.steps * SPEC.image_count))


def test_a_swap_may_load_the_base_again_and_storage_may_be_silent() -> None:
    assert BOUNDS.swap_s == 100
    assert BOUNDS.read_s(8 << 20) == 181


def test_time_in_which_the_process_did_not_run_does_not_count(clock: Clock) -> None:
    awake = AwakeClock(2, clock)
    for now in (1, 2, 3600, 3601):
        clock.now = now
        awake.tick()

    assert awake() == 5
