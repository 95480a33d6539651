"""From events to operations: when each began, when it ended at the latest, and its outcome."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stack.history.event import Answer, Event, Kind, Phase, Request


@dataclass(frozen=True)
class Operation:
    """One operation of one client. It took effect at some moment between ``began`` and ``ended``.

    Attributes:
        number: as in the history.
        owner: whose API key the client sent.
        request: the request.
        began: in seconds.
        ended: in seconds; infinite where the outcome is unknown, because a request may still take effect much later.
        outcome: ``INFO`` also where the client itself ended before it knew.
        answer: the response to an operation that was done.
        status: HTTP status, if there was a response.
        code: of the problem.
    """

    number: int
    owner: str
    request: Request
    began: float
    ended: float
    outcome: Phase
    answer: Answer | None = None
    status: int | None = None
    code: str | None = None

    @property
    def kind(self) -> Kind:
        """Return the kind of the request."""
        return self.request.kind

    @property
    def may_have_happened(self) -> bool:
        """Return whether the service did it, or may have done it."""
        return self.outcome is not Phase.FAIL

    def precedes(self, other: Operation) -> bool:
        """Return whether it had surely ended before the other one began."""
        return self.ended < other.began

    def may_lie_between(self, first: Operation, second: Operation) -> bool:
        """Return whether it can have taken effect after the effect of ``first`` and before that of ``second``."""
        return self.may_have_happened and self.ended > first.began and self.began < second.ended


def operations_of(events: Iterable[Event]) -> tuple[Operation, ...]:
    """Return the operations of a history, in the order in which they began.

    Raises:
        ValueError: an event ends an operation that never began or has ended already.
    """
    begun: dict[int, Event] = {}
    ended: list[Operation] = []
    for event in events:
        if event.phase is Phase.INVOKE:
            begun[event.operation] = event
        elif event.operation in begun:
            ended.append(operation_of(begun.pop(event.operation), event))
        else:
            raise ValueError(f"Operation {event.operation} ends without having begun.")
    unknown = [operation_of(event, None) for event in begun.values()]
    return tuple(sorted([*ended, *unknown], key=lambda operation: operation.began))


def operation_of(begin: Event, end: Event | None) -> Operation:
    """The operation of its first event, and of its second if there is one.

    Raises:
        ValueError: the first event has no request.
    """
    if begin.request is None:
        raise ValueError(f"Operation {begin.operation} begins without a request.")
    if end is None:
        return Operation(begin.operation, begin.owner, begin.request, begin.at, math.inf, Phase.INFO)
    return Operation(
        begin.operation,
        begin.owner,
        begin.request,
        begin.at,
        math.inf if end.phase is Phase.INFO else end.at,
        end.phase,
        end.answer,
        end.status,
        end.code,
    )


def of_kind(operations: Iterable[Operation], *kinds: Kind) -> Iterator[Operation]:
    """Those of these kinds."""
    return (operation for operation in operations if operation.kind in kinds)


def done(operations: Iterable[Operation], *kinds: Kind) -> Iterator[Operation]:
    """Those of these kinds that were surely done."""
    return (operation for operation in of_kind(operations, *kinds) if operation.outcome is Phase.OK)


def may_separate(separators: Sequence[Operation], first: Operation, second: Operation) -> bool:
    """Return whether one of these operations can lie between two others."""
    return any(separator.may_lie_between(first, second) for separator in separators)
