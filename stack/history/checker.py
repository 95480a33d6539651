"""Check a history against the model of the service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from stack.history.adapters import check_adapters
from stack.history.batches import check_batches
from stack.history.event import Event, Kind, Phase
from stack.history.images import check_images
from stack.history.jobs import check_jobs
from stack.history.operations import Operation, done, operations_of
from stack.history.results import check_results
from stack.history.violation import Rule, Violation, violation
from stack.history.webhooks import check_webhooks

CHECKS = (check_jobs, check_images, check_batches, check_results, check_adapters, check_webhooks)


def check(events: Iterable[Event]) -> tuple[Violation, ...]:
    """Return every violation of a rule in a history.

    Records are expected to be kept for longer than the history lasts.

    Raises:
        ValueError: the events are not those of a history.
    """
    operations = operations_of(events)
    found = [violation for check_part in CHECKS for violation in check_part(operations)]
    return (*found, *all_is_answered(operations))


def all_is_answered(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Return requests without a good response after the faults."""
    for calm in done(operations, Kind.CALM):
        for operation in operations:
            if calm.precedes(operation) and operation.outcome is Phase.INFO:
                what = f"{operation.kind} is answered with {operation.status} {operation.code} when all is calm."
                yield violation(Rule.ALL_IS_ANSWERED, operation.request.target or "", what, operation)
