"""A job's timings."""

from __future__ import annotations

from itertools import count

import pytest

from tasks.job import SwapWay, Timings
from workers.stopwatch import Stage, Stopwatch


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
