"""The table of statuses and transitions."""

from __future__ import annotations

import pytest

from tasks.jobs.job import TRANSITIONS, Status, sources


def test_every_status_has_a_row() -> None:
    assert set(TRANSITIONS) == set(Status)


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELED])
def test_nothing_follows_an_end(status: Status) -> None:
    assert status.is_terminal


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING])
def test_a_living_job_can_still_end_in_each_way(status: Status) -> None:
    assert not status.is_terminal
    assert {Status.FAILED, Status.CANCELED} <= TRANSITIONS[status]


def test_only_a_running_job_succeeds() -> None:
    assert sources(Status.SUCCEEDED) == {Status.RUNNING}


def test_a_running_job_may_be_given_back() -> None:
    assert sources(Status.QUEUED) == {Status.RUNNING}
