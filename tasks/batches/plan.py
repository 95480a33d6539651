"""From a batch's file to a plan: every line checked, every adapter resolved once, the lines in the order of drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO

from tasks.adapters.file.identity import ResolvedAdapter
from tasks.adapters.lookup.resolver import Admitted, choose_base_model
from tasks.base_models.registry import BaseModels
from tasks.batches.batch import MAX_ADAPTERS, MAX_ERRORS, MAX_GROUPS, MAX_LINES, Group, LineError, Plan
from tasks.batches.line import BatchLine, lines_of, parse_line
from tasks.batches.line_index import LineIndex
from tasks.client_jobs.specification import complete, scale_of
from tasks.errors import InvalidRequest, SourceUnavailable
from tasks.fields import ImageFormat
from tasks.jobs.job import JobSpec, ScaledAdapter

Admit = Callable[[str], Admitted]
Adapters = tuple[tuple[int, float], ...]


@dataclass
class GroupLines:
    """Lines with the same adapters, and their sums.

    Attributes:
        number: of the group.
    """

    number: int
    base_model: str
    adapters: Adapters
    lines: int = 0
    images: int = 0
    pixel_steps: int = 0

    def count(self, spec: JobSpec) -> None:
        """Count a line."""
        self.lines += 1
        self.images += spec.image_count
        self.pixel_steps += spec.pixel_steps


@dataclass
class Planner:
    """Reads the lines of one batch.

    Attributes:
        admit: pins the adapter that a reference names.
        lines: number of lines that can be served.
        skipped: number of those that cannot.
        errors: the reasons for the first of these.
    """

    admit: Admit
    base_models: BaseModels
    image_format: ImageFormat
    index: LineIndex
    lines: int = 0
    skipped: int = 0
    errors: list[LineError] = field(default_factory=list)
    _adapters: list[ResolvedAdapter] = field(default_factory=list)
    _default_scales: list[float] = field(default_factory=list)
    _numbers: dict[str, int | InvalidRequest] = field(default_factory=dict)
    _groups: dict[tuple[str, Adapters], GroupLines] = field(default_factory=dict)

    def read(self, file: IO[bytes]) -> None:
        """Read every line; empty ones are passed over.

        Raises:
            InvalidRequest: there are too many lines, adapters or sets of adapters.
            ServiceUnavailable: the Hub does not answer.
        """
        for number, text in enumerate(lines_of(file), start=1):
            if not text.strip():
                continue
            if self.lines + self.skipped >= MAX_LINES:
                raise InvalidRequest(f"The file has more than {MAX_LINES} lines. Split it.")
            try:
                self._add(number, text, parse_line(text, self.base_models))
            except InvalidRequest as error:
                self._skip(number, error)

    def groups(self) -> Iterator[tuple[GroupLines, Iterator[tuple[int, bytes]]]]:
        """In the order of drawing: each group, and the numbers and texts of its lines."""
        for _, group in sorted(self._groups.items()):
            yield group, self.index.part(group.number)

    @property
    def pixel_steps(self) -> int:
        """The total cost of the lines: pixels times steps."""
        return sum(group.pixel_steps for group in self._groups.values())

    @property
    def adapters(self) -> tuple[ResolvedAdapter, ...]:
        """The different adapters of the lines."""
        return tuple(self._adapters)

    def _add(self, number: int, text: bytes, line: BatchLine) -> None:
        numbers = [self._number(wanted.ref) for wanted in line.adapters]
        adapters = tuple(
            (place, scale_of(wanted, self._default_scales[place]))
            for place, wanted in zip(numbers, line.adapters, strict=True)
        )
        spec = spec_of(line, self._scaled(adapters), self.base_models, self.image_format, lambda _: 0)
        group = self._group(spec.base_model, adapters)
        if not self.index.add(number, line.custom_id, group.number, text):
            raise InvalidRequest(
                f"custom_id: {line.custom_id!r} is also the id of an earlier line. Give each line its own."
            )
        group.count(spec)
        self.lines += 1

    def _group(self, slug: str, adapters: Adapters) -> GroupLines:
        found = self._groups.get((slug, adapters))
        if found is None:
            if len(self._groups) >= MAX_GROUPS:
                raise InvalidRequest(f"The file has more than {MAX_GROUPS} sets of adapters. Split it.")
            found = self._groups[slug, adapters] = GroupLines(len(self._groups), slug, adapters)
        return found

    def _number(self, ref: str) -> int:
        """The place of an adapter; a reference is resolved once, even one that cannot be."""
        if ref not in self._numbers:
            if len(self._numbers) >= MAX_ADAPTERS:
                raise InvalidRequest(f"The file uses more than {MAX_ADAPTERS} adapters. Split it.")
            try:
                admitted = self.admit(ref)
                self._adapters.append(admitted.adapter)
                self._default_scales.append(admitted.default_scale)
                self._numbers[ref] = len(self._adapters) - 1
            except InvalidRequest as error:
                self._numbers[ref] = error
            except SourceUnavailable:  # a server that the client chose may never answer: nothing waits for it
                self._numbers[ref] = InvalidRequest(
                    f"The server of {ref!r} does not answer. Send the line again later."
                )
        found = self._numbers[ref]
        if isinstance(found, InvalidRequest):
            raise found.at(None)
        return found

    def _scaled(self, adapters: Adapters) -> tuple[ScaledAdapter, ...]:
        return tuple(ScaledAdapter(adapter=self._adapters[place], scale=scale) for place, scale in adapters)

    def _skip(self, number: int, error: InvalidRequest) -> None:
        self.skipped += 1
        if len(self.errors) < MAX_ERRORS:
            message = f"{error.field}: {error}" if error.field else str(error)
            self.errors.append(LineError(line=number, message=message))


def spec_of(
    line: BatchLine,
    adapters: tuple[ScaledAdapter, ...],
    base_models: BaseModels,
    image_format: ImageFormat,
    random_seed: Callable[[int], int],
) -> JobSpec:
    """Return the complete specification of a line.

    Raises:
        InvalidRequest: its base model cannot draw it.
    """
    model = choose_base_model(line.base_model, [scaled.adapter for scaled in adapters], base_models)
    return complete(line, model, adapters, random_seed, image_format)


def write_plan(
    adapters: tuple[ResolvedAdapter, ...],
    groups: Iterable[tuple[GroupLines, Iterable[tuple[int, bytes]]]],
    write: Callable[[bytes], object],
) -> Plan:
    """Write lines in the order of drawing, and return the place of each group.

    Args:
        groups: their sums are read when their lines have been.
        write: takes the next bytes of the plan.
    """
    written, begin = [], 0
    for group, lines in groups:
        end = begin
        for number, text in lines:
            row = b"%d %b\n" % (number, text)
            write(row)
            end += len(row)
        if end > begin:  # every line of a group may have had the id of another
            written.append(
                Group(
                    base_model=group.base_model,
                    begin=begin,
                    end=end,
                    lines=group.lines,
                    images=group.images,
                    pixel_steps=group.pixel_steps,
                    adapters=group.adapters,
                )
            )
        begin = end
    return Plan(adapters=adapters, groups=tuple(written))
