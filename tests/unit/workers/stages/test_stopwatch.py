"""A job's timings."""

from __future__ import annotations

from itertools import count

import pytest

from tasks.jobs.result import SwapWay, Timings
from workers.stages.stopwatch import Stage, Stopwatch


def test_a_stage_takes_as_long_as_its_body() -> None:
    stopwatch = Stopwatch(queued_s=0.25, clock=count(10).__next__)

    with stopwatch.measure(Stage.DRAW):
        pass
    stopwatch.swap_way = SwapWay.KEPT

    assert stopwatch.timings == Timings(queued=0.25, draw=1, swap_way=SwapWay.KEPT)


def test_a_stage_that_fails_is_measured_too() -> None:
    stopwatch = Stopwatch(queued_s=0, clock=count(10).__next__)

    with pytest.raises(ValueError, match="no"), stopwatch.measure(Stage.SWAP):
        raise ValueError("no")

    assert stopwatch.timings.swap == 1


def test_a_pause_is_no_part_of_a_stage() -> None:
    stopwatch = Stopwatch(clock=iter([10, 11, 14, 20]).__next__)

    with stopwatch.measure(Stage.DRAW), stopwatch.pause():
        pass

    assert stopwatch.timings.draw == 10 - 3


def test_jobs_that_are_drawn_together_share_the_drawing_and_the_first_one_has_the_swap() -> None:
    common, first, second = Stopwatch(clock=count(10).__next__), Stopwatch(), Stopwatch()
    for stage in (Stage.ADAPTER, Stage.SWAP, Stage.DRAW):
        with common.measure(stage):
            pass
    common.swap_way = SwapWay.MERGED

    common.share([first, second])

    assert first.timings == Timings(queued=0, adapter=1, swap=1, draw=0.5, swap_way=SwapWay.MERGED)
    assert second.timings == Timings(queued=0, adapter=0, swap=0, draw=0.5, swap_way=SwapWay.KEPT)
