"""The model of a batch, against which its history is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stack.history.event import Kind, SeenBatch, SeenJob
from stack.history.operations import Operation, may_separate, of_kind
from stack.history.sightings import Sighting, batch_sightings, by_id
from stack.history.submissions import (
    accepted,
    all_ends,
    keyed,
    nothing_vanishes,
    one_for_a_key,
    refused_is_not_done,
)
from stack.history.violation import Rule, Violation, violation
from tasks.batches.batch import BatchStatus

ORDER: Mapping[BatchStatus, int] = {
    BatchStatus.VALIDATING: 0,
    BatchStatus.RUNNING: 1,
    BatchStatus.CANCELING: 2,
    **dict.fromkeys((BatchStatus.PLANNED, BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELED), 3),
}
"""Rank of the statuses of a batch. Only a retry leads back."""

READS = (Kind.READ_BATCH, Kind.READ_RESULTS, Kind.CANCEL_BATCH, Kind.RETRY_BATCH)


def check_batches(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Return the violations of the rules of batches."""
    emptyings = tuple(of_kind(operations, Kind.EMPTY_VALKEY))
    submissions = tuple(of_kind(operations, Kind.SUBMIT_BATCH))
    sightings = tuple(batch_sightings(operations))
    batches, known = by_id(sightings), accepted(operations, Kind.SUBMIT_BATCH)
    ids = keyed(submissions, ())
    yield from one_for_a_key(ids, emptyings)
    yield from refused_is_not_done(submissions, ids)
    yield from nothing_vanishes(of_kind(operations, *READS), known, emptyings)
    yield from all_ends(known, batches, operations)
    for batch_id, seen in batches.items():
        retries = retries_of(operations, batch_id)
        yield from forward(seen, retries)
        lines = known[batch_id].by.request.lines if batch_id in known else ()
        yield from counters_add_up(seen, len(lines) or None)


def retries_of(operations: Sequence[Operation], batch_id: str) -> tuple[Operation, ...]:
    """The retries of a batch that were or may have been done."""
    retries = of_kind(operations, Kind.RETRY_BATCH)
    return tuple(retry for retry in retries if retry.request.target == batch_id and retry.may_have_happened)


def forward(seen: Sequence[Sighting[SeenBatch]], retries: Sequence[Operation]) -> Iterator[Violation]:
    """Pairs of sightings, one surely after the other, of which the later one is further back or another end."""
    for first in seen:
        for second in seen:
            if not first.operation.precedes(second.operation):
                continue
            if goes_back(first.seen, second.seen) and not may_separate(retries, first.operation, second.operation):
                what = f"{first.seen.status} ({first.seen.succeeded} succeeded), and later {second.seen.status} "
                what += f"({second.seen.succeeded} succeeded), without a retry."
                yield violation(Rule.BATCH_FORWARD, first.seen.id, what, first.operation, second.operation)


def goes_back(first: SeenBatch, second: SeenBatch) -> bool:
    """Return whether a batch cannot be at the second place after the first one."""
    if first.status.is_terminal:
        return first != second
    return ORDER[second.status] < ORDER[first.status] or second.succeeded < first.succeeded


def counters_add_up(seen: Sequence[Sighting[SeenBatch]], lines: int | None) -> Iterator[Violation]:
    """Sightings whose counters contradict each other or the file.

    Args:
        lines: number of lines of the file; None if unknown.
    """
    for sighting in seen:
        batch = sighting.seen
        ended = batch.succeeded + batch.failed + batch.canceled
        has_ended = batch.status in (BatchStatus.COMPLETED, BatchStatus.CANCELED)
        if ended > batch.lines or (has_ended and batch.counted != batch.lines):
            what = f"Of {batch.lines} lines {batch.counted} are counted: {counted(batch)}."
            yield violation(Rule.COUNTERS_ADD_UP, batch.id, what, sighting.operation)
        elif batch.status is BatchStatus.COMPLETED and ended != batch.lines:
            what = f"It is completed, and of {batch.lines} lines {ended} have ended: {counted(batch)}."
            yield violation(Rule.COUNTERS_ADD_UP, batch.id, what, sighting.operation)
        elif batch.status is BatchStatus.COMPLETED and lines not in (None, batch.lines + batch.skipped):
            what = f"Its file has {lines} lines, and it counts {batch.lines} and {batch.skipped} that it skipped."
            yield violation(Rule.COUNTERS_ADD_UP, batch.id, what, sighting.operation)


def counted(batch: SeenBatch) -> str:
    """The counters of a batch in a few words."""
    names = ("waiting", "queued", "running", "succeeded", "failed", "canceled")
    return ", ".join(f"{getattr(batch, name)} {name}" for name in names)


def batch_of_job(job: SeenJob, batches: Mapping[str, object]) -> tuple[str, int] | None:
    """The batch and the line that a job comes from: its id is the batch's, the number of the line, and of a retry."""
    batch_id, _, rest = job.id.partition("-")
    line, _, _ = rest.partition("-")
    return (batch_id, int(line)) if batch_id in batches and line.isdecimal() else None
