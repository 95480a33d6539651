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
    """The outcome of a soak.

    Attributes:
        ledger: what is stored at the end.
        violations: rules that the history breaks.
        operations: number of operations by kind and outcome.
        died: number of restarts of each part that ended by itself.
    """

    ledger: Ledger
    violations: Sequence[Violation]
    operations: Mapping[str, Mapping[str, int]]
    died: Mapping[str, int]

    @property
    def is_clean(self) -> bool:
        """Return whether no rule was broken."""
        return self.ledger.is_clean and not self.violations

    def as_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {
            **self.ledger.as_dict(),
            "died": dict(self.died),
            "operations": self.operations,
            "violations": [violation.as_dict() for violation in self.violations],
        }


def outcomes(operations: Iterable[Operation]) -> Mapping[str, Mapping[str, int]]:
    """Return the number of operations by kind and outcome."""
    counts: dict[str, Counter[str]] = {}
    for operation in operations:
        counts.setdefault(operation.kind.value, Counter())[operation.outcome.value] += 1
    return {kind: dict(sorted(counts[kind].items())) for kind in sorted(counts)}


def accepted_jobs(operations: Sequence[Operation]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the jobs that the API accepted, and those of them that Valkey may have lost when it was emptied."""
    known = accepted(operations, Kind.SUBMIT_JOB)
    emptyings = tuple(of_kind(operations, Kind.EMPTY_VALKEY))
    (calm,) = done(operations, Kind.CALM)
    forgettable = (job_id for job_id, found in known.items() if may_separate(emptyings, found.by, calm))
    return frozenset(known), frozenset(forgettable)
