"""The lines of a batch that have no pictures yet, as a new plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.batch import Batch, Group, Plan
from tasks.batch_expansion import rows
from tasks.batch_index import LineIndex
from tasks.batch_line import parse_line
from tasks.batch_plan import GroupLines, spec_of
from tasks.service import Service


@dataclass(frozen=True)
class Remainder:
    """What has not succeeded of a plan.

    Attributes:
        index: the results so far, as ``batch_results.gather`` reads them.
    """

    service: Service
    batch: Batch
    plan: Plan
    index: LineIndex

    def groups(self) -> Iterator[tuple[GroupLines, Iterator[tuple[int, bytes]]]]:
        """In the order of the plan: each group, and the numbers and texts of its lines."""
        for number, group in enumerate(self.plan.groups):
            lines = GroupLines(number, group.base_model, group.adapters)
            yield lines, self._lines(group, lines)

    def _lines(self, group: Group, lines: GroupLines) -> Iterator[tuple[int, bytes]]:
        """The lines of a group, which are counted on the way."""
        base_models, image_format = self.service.base_models, self.service.settings.image_format
        adapters = self.plan.scaled(group)
        for _, row in rows(self.service, self.batch, group.begin, group.end):
            number, _, text = row.partition(b" ")
            if not self.index.has(int(number), part=1):
                lines.count(spec_of(parse_line(text, base_models), adapters, base_models, image_format, lambda _: 0))
                yield int(number), text
