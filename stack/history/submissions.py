"""Rules of every submission of a job or a batch: accepted at most once for a key, and found from then on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stack.history.event import Kind, Phase, SeenBatch, SeenJob
from stack.history.operations import Operation, done, may_separate, of_kind
from stack.history.sightings import Sighting
from stack.history.violation import Rule, Violation, violation

Key = tuple[str, str]
"""An owner, and an idempotency key that it chose."""

NOT_FOUND = 404


@dataclass(frozen=True)
class Accepted:
    """A job or batch that was accepted.

    Attributes:
        id: of the job or batch.
        by: the first operation that accepted it.
    """

    id: str
    by: Operation


def accepted(operations: Iterable[Operation], kind: Kind) -> Mapping[str, Accepted]:
    """Return the accepted submissions of this kind, by id."""
    found: dict[str, Accepted] = {}
    for operation in sorted(done(operations, kind), key=lambda operation: operation.ended):
        if isinstance(operation.answer, SeenJob | SeenBatch):
            found.setdefault(operation.answer.id, Accepted(operation.answer.id, operation))
    return found


def keyed(
    submissions: Iterable[Operation], sightings: Iterable[Sighting[SeenJob]] | Iterable[Sighting[SeenBatch]]
) -> Mapping[Key, Mapping[str, Operation]]:
    """By idempotency key, each id that was ever seen for it, with the operation that saw it first.

    Args:
        submissions: those whose responses name an id.
        sightings: of jobs whose prompts carry the key, and of batches.
    """
    ids: dict[Key, dict[str, Operation]] = defaultdict(dict)
    for operation in submissions:
        if operation.request.key and isinstance(operation.answer, SeenJob | SeenBatch):
            ids[operation.owner, operation.request.key].setdefault(operation.answer.id, operation)
    for sighting in sightings:
        if isinstance(sighting.seen, SeenJob) and sighting.seen.key:
            ids[sighting.operation.owner, sighting.seen.key].setdefault(sighting.seen.id, sighting.operation)
    return ids


def one_for_a_key(ids: Mapping[Key, Mapping[str, Operation]], emptyings: Sequence[Operation]) -> Iterator[Violation]:
    """Several ids of one key, unless Valkey, which knew the key, was emptied between them."""
    for (_, key), seen in ids.items():
        first, *others = sorted(seen.items(), key=lambda item: item[1].ended)
        for (earlier, before), (later, after) in zip([first, *others], others, strict=False):
            if not may_separate(emptyings, before, after):
                what = f"The idempotency key {key} has {earlier} and {later}."
                yield violation(Rule.ONE_FOR_A_KEY, key, what, before, after)


def refused_is_not_done(
    submissions: Iterable[Operation], ids: Mapping[Key, Mapping[str, Operation]]
) -> Iterator[Violation]:
    """Return jobs and batches that exist although each try to submit them was refused."""
    tries: dict[Key, list[Operation]] = defaultdict(list)
    for operation in submissions:
        if operation.request.key:
            tries[operation.owner, operation.request.key].append(operation)
    for key, operations in tries.items():
        if all(operation.outcome is Phase.FAIL for operation in operations):
            for found, by in ids.get(key, {}).items():
                what = f"{found} exists, and every submission with the key {key[1]} was refused."
                yield violation(Rule.REFUSED_IS_NOT_DONE, key[1], what, *operations, by)


def nothing_vanishes(
    reads: Iterable[Operation], known: Mapping[str, Accepted], emptyings: Sequence[Operation]
) -> Iterator[Violation]:
    """Return reads of an owner that do not find its accepted job or batch."""
    for read in reads:
        found = known.get(read.request.target or "")
        if (
            found is not None
            and read.status == NOT_FOUND
            and read.owner == found.by.owner
            and found.by.precedes(read)
            and not may_separate(emptyings, found.by, read)
        ):
            what = f"{found.id} was accepted, and then it is not found."
            yield violation(Rule.NOTHING_VANISHES, found.id, what, found.by, read)


def all_ends(
    known: Mapping[str, Accepted],
    sightings: Mapping[str, Sequence[Sighting[SeenJob]]] | Mapping[str, Sequence[Sighting[SeenBatch]]],
    operations: Sequence[Operation],
) -> Iterator[Violation]:
    """Return accepted jobs and batches that are not seen at their ends after the faults, if these ended."""
    emptyings = tuple(of_kind(operations, Kind.EMPTY_VALKEY))
    for calm in done(operations, Kind.CALM):
        for found in known.values():
            late = (seen for seen in sightings.get(found.id, ()) if calm.precedes(seen.operation))
            has_ended = any(sighting.seen.status.is_terminal for sighting in late)
            if not has_ended and not may_separate(emptyings, found.by, calm):
                what = f"{found.id} was accepted, and has not ended when all is calm."
                yield violation(Rule.ALL_ENDS, found.id, what, found.by, calm)
