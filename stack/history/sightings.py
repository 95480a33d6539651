"""Sightings of the jobs and batches of a history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from stack.history.event import SeenBatch, SeenJob, SeenJobs, SeenWebhook
from stack.history.operations import Operation

Seen = TypeVar("Seen", SeenJob, SeenBatch)


@dataclass(frozen=True)
class Sighting(Generic[Seen]):
    """A record as an operation saw it."""

    operation: Operation
    seen: Seen


def job_sightings(operations: Iterable[Operation]) -> Iterator[Sighting[SeenJob]]:
    """Return each time that a response or a webhook shows a job."""
    for operation in operations:
        match operation.answer:
            case SeenJob() as job:
                yield Sighting(operation, job)
            case SeenJobs(jobs=jobs):
                yield from (Sighting(operation, job) for job in jobs)
            case SeenWebhook(genuine=True, about=SeenJob() as job):
                yield Sighting(operation, job)
            case _:
                pass


def batch_sightings(operations: Iterable[Operation]) -> Iterator[Sighting[SeenBatch]]:
    """Return each time that a response shows a batch. Not webhooks: a late one reports an end before a retry."""
    for operation in operations:
        if isinstance(operation.answer, SeenBatch):
            yield Sighting(operation, operation.answer)


def by_id(sightings: Iterable[Sighting[Seen]]) -> Mapping[str, Sequence[Sighting[Seen]]]:
    """Sightings by the id of what was seen, in the order in which their operations began."""
    grouped: dict[str, list[Sighting[Seen]]] = defaultdict(list)
    for sighting in sightings:
        grouped[sighting.seen.id].append(sighting)
    return grouped
