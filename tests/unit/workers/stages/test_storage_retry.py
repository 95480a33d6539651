"""The time that a job waits for storage."""

from __future__ import annotations

import pytest

from storage import StorageError, StorageNotReachable
from workers.stages.publish import LONGEST_PAUSE_S, StorageRetry


class Storage:
    """Is away for so many seconds of a clock that only pauses move."""

    def __init__(self, away_s: float, error: type[StorageError] = StorageNotReachable) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._away_s = away_s
        self._error = error

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def upload(self) -> str:
        if self.now < self._away_s:
            raise self._error("away")
        return "stored"


def test_it_tries_again_ever_more_slowly_until_storage_is_back() -> None:
    storage = Storage(away_s=60)

    assert StorageRetry(120, storage.pause, storage.clock).call(storage.upload) == "stored"
    assert storage.pauses == sorted(storage.pauses)
    assert storage.pauses[-1] == LONGEST_PAUSE_S


def test_it_ends_at_its_bound_and_all_uploads_share_it() -> None:
    storage = Storage(away_s=1000)
    storage_retry = StorageRetry(120, storage.pause, storage.clock)

    for _ in range(2):
        with pytest.raises(StorageNotReachable):
            storage_retry.call(storage.upload)

    assert storage.now <= 120


def test_a_refusal_is_not_tried_again() -> None:
    storage = Storage(away_s=1000, error=StorageError)

    with pytest.raises(StorageError):
        StorageRetry(120, storage.pause, storage.clock).call(storage.upload)

    assert storage.pauses == []
