"""The model of the results of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from stack.history.batches import batch_of_job, retries_of
from stack.history.event import Kind, SeenBatch, SeenJob, SeenLine, SeenLines
from stack.history.operations import Operation, done, may_separate
from stack.history.sightings import Sighting, batch_sightings, by_id, job_sightings
from stack.history.submissions import Accepted, accepted
from stack.history.violation import Rule, Violation, violation
from tasks.batches.batch import BatchStatus
from tasks.jobs.job import Status

Reading = tuple[Operation, Sequence[SeenLine]]
"""The results of a batch, and the operation that read them."""


def check_results(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Return the violations of the rules of results."""
    known = accepted(operations, Kind.SUBMIT_BATCH)
    batches = by_id(batch_sightings(operations))
    jobs = jobs_by_line(operations, known)
    for batch_id, readings in readings_by_batch(operations).items():
        retries = retries_of(operations, batch_id)
        for reading in readings:
            yield from one_result_a_line(batch_id, reading, known.get(batch_id))
            yield from all_lines(batch_id, reading, batches.get(batch_id, ()), retries)
        yield from result_is_final(batch_id, readings, retries)
        yield from result_is_of_its_job(batch_id, readings, jobs)


def readings_by_batch(operations: Sequence[Operation]) -> Mapping[str, Sequence[Reading]]:
    """Each reading of results, by batch."""
    readings: dict[str, list[Reading]] = {}
    for operation in done(operations, Kind.READ_RESULTS):
        if isinstance(operation.answer, SeenLines):
            readings.setdefault(operation.request.target or "", []).append((operation, operation.answer.lines))
    return readings


def jobs_by_line(
    operations: Sequence[Operation], known: Mapping[str, Accepted]
) -> Mapping[tuple[str, int], Sighting[SeenJob]]:
    """A sighting of the job that succeeded for a line, by batch and line."""
    return {
        place: sighting
        for sighting in job_sightings(operations)
        if sighting.seen.status is Status.SUCCEEDED and (place := batch_of_job(sighting.seen, known)) is not None
    }


def one_result_a_line(batch_id: str, reading: Reading, found: Accepted | None) -> Iterator[Violation]:
    """Lines with several results, and results of lines that the file does not have."""
    operation, lines = reading
    for number, count in Counter(line.line for line in lines).items():
        if count > 1:
            what = f"Line {number} has {count} results."
            yield violation(Rule.ONE_RESULT_A_LINE, batch_id, what, operation)
    sent = dict(enumerate(found.by.request.lines, start=1)) if found is not None else {}
    for line in lines:
        if sent and sent.get(line.line) != line.custom_id:
            what = f"Line {line.line} is {sent.get(line.line)} in the file, and {line.custom_id} in the results."
            yield violation(Rule.ONE_RESULT_A_LINE, batch_id, what, operation)


def all_lines(
    batch_id: str, reading: Reading, sightings: Sequence[Sighting[SeenBatch]], retries: Sequence[Operation]
) -> Iterator[Violation]:
    """Return results of a completed batch whose number differs from its record's."""
    operation, lines = reading
    for sighting in sightings:
        batch = sighting.seen
        if batch.status is not BatchStatus.COMPLETED or not sighting.operation.precedes(operation):
            continue
        if may_separate(retries, sighting.operation, operation):
            continue
        statuses = Counter(line.status for line in lines)
        wanted = (batch.succeeded, batch.failed, batch.canceled)
        found = (statuses[Status.SUCCEEDED], statuses[Status.FAILED], statuses[Status.CANCELED])
        if len(lines) < batch.lines or (not retries and found != wanted):
            what = f"The batch of {batch.lines} lines is completed with {wanted} lines succeeded, failed and canceled, "
            what += f"and the results have {found}."
            yield violation(Rule.ONE_RESULT_A_LINE, batch_id, what, sighting.operation, operation)
            return


def result_is_final(batch_id: str, readings: Sequence[Reading], retries: Sequence[Operation]) -> Iterator[Violation]:
    """Results that a later reading does not have, or has otherwise.

    A retry may change those without images, even long after its request: they are drawn one by one.
    """
    for first, before in readings:
        for second, after in readings:
            if not first.precedes(second):
                continue
            now = {line.line: line for line in after}
            is_retried = any(retry.began < second.ended for retry in retries)
            for line in before:
                if line != now.get(line.line) and (line.status is Status.SUCCEEDED or not is_retried):
                    what = f"Line {line.line} is {line}, and later {now.get(line.line)}."
                    yield violation(Rule.RESULT_IS_FINAL, batch_id, what, first, second)


def result_is_of_its_job(
    batch_id: str, readings: Sequence[Reading], jobs: Mapping[tuple[str, int], Sighting[SeenJob]]
) -> Iterator[Violation]:
    """Results with other images than the job of the line."""
    for operation, lines in readings:
        for line in lines:
            sighting = jobs.get((batch_id, line.line))
            if sighting is not None and line.status is Status.SUCCEEDED and line.images != sighting.seen.images:
                what = f"Line {line.line} is {line}, and its job {sighting.seen}."
                yield violation(Rule.RESULT_IS_FINAL, batch_id, what, operation, sighting.operation)
