"""The workers alive."""

from __future__ import annotations

import time

import pytest

from tasks.lanes.worker_registry import MergedAdapter, WorkerMemory, WorkerNote, WorkerRegistry
from tasks.valkey import Valkey

NOTE = WorkerNote(
    name="demo-1@here",
    base_model="demo",
    device="cpu",
    memory=WorkerMemory(weights=100, pristine=50, adapters=10),
    merged=(MergedAdapter(ref="pixel", scale=1.0),),
)


@pytest.fixture
def registry(valkey: Valkey) -> WorkerRegistry:
    return WorkerRegistry(valkey, forget_after_s=0.2)


def test_a_worker_that_notes_itself_is_alive(registry: WorkerRegistry) -> None:
    registry.note(NOTE)

    assert registry.alive("demo") == [NOTE]
    assert registry.alive("sdxl") == []


def test_a_worker_that_falls_silent_is_forgotten(registry: WorkerRegistry) -> None:
    registry.note(NOTE)

    time.sleep(0.3)

    assert registry.alive("demo") == []


def test_a_worker_that_leaves_is_forgotten_at_once(registry: WorkerRegistry) -> None:
    registry.note(NOTE)

    registry.remove(NOTE)

    assert registry.alive("demo") == []
