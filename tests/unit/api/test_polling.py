"""Polls are cheap: their intervals, and values that are cached."""

from __future__ import annotations

import pytest

from api.v1.jobs import POLL_AGAIN_AT_MOST_S, PollQuery, poll_again_s


@pytest.mark.parametrize(("position", "seconds"), [(0, 1), (49, 1), (50, 2), (400, 9), (100_000, POLL_AGAIN_AT_MOST_S)])
def test_a_job_far_back_in_its_queue_is_asked_for_less_often(position: int, seconds: int) -> None:
    assert poll_again_s(position) == seconds


def test_the_schema_of_a_query_is_made_once() -> None:
    assert PollQuery.model_json_schema() is PollQuery.model_json_schema()
