"""The worker's sign of life goes on whatever one beat meets."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from tasks.errors import ValkeyUnavailable
from tasks.jobs.store import JobStore
from tasks.lanes.worker_registry import WorkerMemory, WorkerNote, WorkerRegistry
from tests.support.waiting import patience
from workers.run.heartbeat import Heartbeat
from workers.run.running import RunningAttempts


class Registry:
    """Notes nothing."""

    def note(self, _: WorkerNote) -> None:
        """Nothing."""

    def remove(self, _: WorkerNote) -> None:
        """Nothing."""


@pytest.mark.parametrize("error", [ValkeyUnavailable("away"), KeyError("no such field")])
def test_an_error_ends_no_heartbeat(error: Exception) -> None:
    memory = WorkerMemory(weights=0, pristine=0, adapters=0)
    worker = WorkerNote(name="w", base_model="demo", device="cpu", memory=memory)
    beats, third = list[int](), threading.Event()

    def remind() -> None:
        beats.append(1)
        if len(beats) == 2:
            raise error
        if len(beats) > 2:
            third.set()

    registry = cast(WorkerRegistry, Registry())
    store, running = cast(JobStore, None), RunningAttempts()
    heartbeat = Heartbeat(store, registry, running, lambda: worker, period_s=0.001, remind=remind)
    heartbeat.start()

    assert third.wait(patience(10))
    heartbeat.stop()
