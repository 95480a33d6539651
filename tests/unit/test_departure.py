"""How a worker ends by itself."""

from __future__ import annotations

from workers.run.departure import Departure, ExitCode
from workers.run.shutdown import Stops


def test_who_leaves_takes_no_more_jobs_is_told_once_and_keeps_its_first_reason() -> None:
    told, ended, stops = list[str](), list[int](), Stops()
    departure = Departure(stops, lambda: told.append("told"), ended.append)

    departure.leave(ExitCode.UNHEALTHY)
    departure.leave(ExitCode.STALLED)
    departure.end_now(ExitCode.STALLED)

    assert stops.soon.is_set()
    assert (told, ended) == (["told"], [69])
