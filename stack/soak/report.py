"""The report of a soak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stack.history.event import Kind
from stack.history.operations import Operation, done, may_separate, of_kind
from stack.history.submissions import accepted
from stack.history.violation import Violation
from stack.soak.ledger import Ledger


@dataclass(frozen=True)
class Report:
    """The sum of a soak.

    Attributes:
        ledger: what is there in the end.
        violations: what clients saw that they cannot have seen.
        operations: by kind, how many had which outcome.
        died: how often each part ended by itself and was started again.
    """

    ledger: Ledger
    violations: Sequence[Violation]
    operations: Mapping[str, Mapping[str, int]]
    died: Mapping[str, int]

    @property
    def is_clean(self) -> bool:
        """Return whether the service kept its promises."""
        return self.ledger.is_clean and not self.violations

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            **self.ledger.as_dict(),
            "died": dict(self.died),
            "operations": self.operations,
            "violations": [violation.as_dict() for violation in self.violations],
        }


def outcomes(operations: Iterable[Operation]) -> Mapping[str, Mapping[str, int]]:
    """By kind, how many operations had which outcome."""
    counts: dict[str, Counter[str]] = {}
    for operation in operations:
        counts.setdefault(operation.kind.value, Counter())[operation.outcome.value] += 1
    return {kind: dict(sorted(counts[kind].items())) for kind in sorted(counts)}


def accepted_jobs(operations: Sequence[Operation]) -> tuple[frozenset[str], frozenset[str]]:
    """The jobs that the API acknowledged, and those of them that Valkey may have forgotten when it was emptied."""
    known = accepted(operations, Kind.SUBMIT_JOB)
    emptyings = tuple(of_kind(operations, Kind.EMPTY_VALKEY))
    (calm,) = done(operations, Kind.CALM)
    forgettable = (job_id for job_id, found in known.items() if may_separate(emptyings, found.by, calm))
    return frozenset(known), frozenset(forgettable)
