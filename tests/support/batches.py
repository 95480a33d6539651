"""Batches as the tests of several files make them and take them on."""

from __future__ import annotations

import uuid

from tasks.batches.batch import Batch, BatchOptions
from tasks.service import Service

MAX_WAIT_S = 120


def record_batch(service: Service, body: bytes, options: BatchOptions = BatchOptions()) -> Batch:  # noqa: B008 (frozen)
    """A batch of a file of lines."""
    batch_id = uuid.uuid4().hex
    file = f"batches/{batch_id}/input.jsonl"
    service.object_notes.note(file)
    service.storage.put(file, body, content_type="application/jsonl")
    batch, _ = service.batches.create(batch_id, file, options)
    return batch


def plan_batches(service: Service) -> None:
    """One round of planning, to its end."""
    service.batch_rounds.plan()
    service.batch_rounds.join(MAX_WAIT_S)


def advance_batches(service: Service) -> None:
    """One round of those that are planned, to its end."""
    service.batch_rounds.advance()
    service.batch_rounds.join(MAX_WAIT_S)
