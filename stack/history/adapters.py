"""The model of the catalogue's entries, against which their history is checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from stack.history.event import Kind, SeenAdapters, SeenImage
from stack.history.operations import Operation, done, may_separate, of_kind
from stack.history.violation import Rule, Violation, violation

UNKNOWN = "adapter_not_found"
"""Code of the problem for a submission that names an adapter which does not exist."""


@dataclass(frozen=True)
class Entry:
    """The operations on one name of the catalogue.

    Attributes:
        removals: its removals, and the events that remove all entries.
    """

    registers: Sequence[Operation]
    removals: Sequence[Operation]

    def proof(self, operation: Operation) -> Operation | None:
        """Return a registration after which the adapter surely exists for the client of this operation."""
        for register in done(self.registers, Kind.REGISTER_ADAPTER):
            is_before = register.precedes(operation) and register.owner == operation.owner
            if is_before and not may_separate(self.removals, register, operation):
                return register
        return None


def check_adapters(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Return the violations of the rules of the catalogue."""
    entries = entries_of(operations)
    for name, entry in sorted(entries.items()):
        yield from name_is_unique(name, entry.registers, entry.removals)
        yield from adapter_stays(name, done(operations, Kind.LIST_ADAPTERS), entry)
        yield from adapter_goes(name, operations, entry.registers)
    yield from refused_in_vain(operations, entries)


def entries_of(operations: Sequence[Operation]) -> Mapping[str, Entry]:
    """Return what was done to each name that a client has tried to register."""
    emptyings = tuple(of_kind(operations, Kind.EMPTY_VALKEY))
    names = {operation.request.target for operation in of_kind(operations, Kind.REGISTER_ADAPTER)}
    about = {name: [one for one in operations if one.request.target == name] for name in names if name is not None}
    return {
        name: Entry(tuple(of_kind(its, Kind.REGISTER_ADAPTER)), (*of_kind(its, Kind.REMOVE_ADAPTER), *emptyings))
        for name, its in about.items()
    }


def name_is_unique(name: str, registers: Sequence[Operation], removals: Sequence[Operation]) -> Iterator[Violation]:
    """Two registrations of a name, other than one that was sent twice, without a removal between them."""
    for first, second in combinations(done(registers, Kind.REGISTER_ADAPTER), 2):
        sent_twice = first.owner == second.owner and first.request == second.request
        if not sent_twice and not may_separate(removals, first, second) and not may_separate(removals, second, first):
            yield violation(Rule.NAME_IS_UNIQUE, name, f"{name} is registered twice.", first, second)


def adapter_stays(name: str, listings: Iterable[Operation], entry: Entry) -> Iterator[Violation]:
    """Lists without an adapter that was registered, or with another file."""
    for listing in listings:
        register = entry.proof(listing)
        if register is not None and lacks(listing, name, register.request.file):
            what = f"{name} is registered, and then it is not there, or its file is another one."
            yield violation(Rule.ADAPTER_STAYS, name, what, register, listing)


def lacks(listing: Operation, name: str, file: SeenImage | None) -> bool:
    """Return whether a list has no adapter of this name and file."""
    sha256 = None if file is None else file.sha256
    seen = listing.answer.adapters if isinstance(listing.answer, SeenAdapters) else ()
    return not any(adapter.name == name and adapter.sha256 == sha256 for adapter in seen)


def refused_in_vain(operations: Sequence[Operation], entries: Mapping[str, Entry]) -> Iterator[Violation]:
    """Return submissions that were refused for a missing adapter, although all their adapters exist."""
    for operation in operations:
        if operation.code != UNKNOWN:
            continue
        names = operation.request.adapters
        registers = [entries[name].proof(operation) for name in names if name in entries]
        proofs = [register for register in registers if register is not None]
        if names and len(proofs) == len(names):
            what = f"{', '.join(names)}: all are registered, and a submission is refused for the lack of one."
            yield violation(Rule.ADAPTER_STAYS, names[0], what, *proofs, operation)


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
    """Return whether a list has an adapter of this name."""
    return any(adapter.name == name for adapter in answer.adapters)


def came_after(register: Operation, removal: Operation) -> bool:
    """Return whether a registration can have taken effect after a removal."""
    return register.may_have_happened and register.ended > removal.began
