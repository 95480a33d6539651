"""The model of the catalogue's entries, against which their history is checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from stack.history.event import Kind, SeenAdapters, SeenImage
from stack.history.operations import Operation, done, may_separate, of_kind
from stack.history.violation import Rule, Violation, violation

UNKNOWN = "adapter_not_found"
"""Code of the problem with which a submission is refused that names an adapter which is not there."""


def check_adapters(operations: Sequence[Operation]) -> Iterator[Violation]:
    """What the catalogue of a history does that it cannot do."""
    emptyings = tuple(of_kind(operations, Kind.EMPTY_VALKEY))
    telling = [operation for operation in operations if tells(operation)]
    names = {operation.request.target for operation in of_kind(operations, Kind.REGISTER_ADAPTER)}
    for name in sorted(name for name in names if name is not None):
        about = [operation for operation in operations if operation.request.target == name]
        registers = tuple(operation for operation in of_kind(about, Kind.REGISTER_ADAPTER))
        removals = (*of_kind(about, Kind.REMOVE_ADAPTER), *emptyings)
        yield from name_is_unique(name, registers, removals)
        yield from adapter_stays(name, telling, registers, removals)
        yield from adapter_goes(name, operations, registers)


def name_is_unique(name: str, registers: Sequence[Operation], removals: Sequence[Operation]) -> Iterator[Violation]:
    """Two registrations of a name, other than one that was sent twice, without a removal between them."""
    for first, second in combinations(done(registers, Kind.REGISTER_ADAPTER), 2):
        sent_twice = first.owner == second.owner and first.request == second.request
        if not sent_twice and not may_separate(removals, first, second) and not may_separate(removals, second, first):
            yield violation(Rule.NAME_IS_UNIQUE, name, f"{name} is registered twice.", first, second)


def adapter_stays(
    name: str, operations: Sequence[Operation], registers: Sequence[Operation], removals: Sequence[Operation]
) -> Iterator[Violation]:
    """Lists without an adapter that was registered, or with another file, and submissions refused for its lack."""
    for register in done(registers, Kind.REGISTER_ADAPTER):
        for operation in operations:
            if not register.precedes(operation) or operation.owner != register.owner:
                continue
            if lacks(operation, name, register.request.file) and not may_separate(removals, register, operation):
                what = f"{name} is registered, and then it is not there, or its file is another one."
                yield violation(Rule.ADAPTER_STAYS, name, what, register, operation)


def tells(operation: Operation) -> bool:
    """Whether an operation shows which adapters there are, or that one is not there."""
    return isinstance(operation.answer, SeenAdapters) or operation.code == UNKNOWN


def lacks(operation: Operation, name: str, file: SeenImage | None) -> bool:
    """Whether an operation shows that its client has no adapter of this name and file."""
    if isinstance(operation.answer, SeenAdapters):
        sha256 = None if file is None else file.sha256
        return not any(seen.name == name and seen.sha256 == sha256 for seen in operation.answer.adapters)
    return name in operation.request.adapters and operation.code == UNKNOWN


def adapter_goes(name: str, operations: Sequence[Operation], registers: Sequence[Operation]) -> Iterator[Violation]:
    """Lists with an adapter that was removed, or whose registration was always refused."""
    removals = [removal for removal in done(operations, Kind.REMOVE_ADAPTER) if removal.request.target == name]
    for listing in done(operations, Kind.LIST_ADAPTERS):
        if not isinstance(listing.answer, SeenAdapters) or not is_listed(name, listing.answer):
            continue
        if not any(register.may_have_happened for register in registers):
            what = f"{name} is listed, and each try to register it was refused."
            yield violation(Rule.ADAPTER_GOES, name, what, *registers, listing)
        for removal in removals:
            if removal.precedes(listing) and not any(came_after(register, removal) for register in registers):
                yield violation(
                    Rule.ADAPTER_GOES, name, f"{name} was removed, and then it is listed.", removal, listing
                )


def is_listed(name: str, answer: SeenAdapters) -> bool:
    """Whether a list has an adapter of this name."""
    return any(adapter.name == name for adapter in answer.adapters)


def came_after(register: Operation, removal: Operation) -> bool:
    """Whether a registration can have taken effect after a removal."""
    return register.may_have_happened and register.ended > removal.began
