"""The lines of a plan that have no images yet, which a retry plans again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.base_models.registry import BaseModels
from tasks.batches.batch import Batch, Group, Plan
from tasks.batches.line import parse_line
from tasks.batches.line_index import LineIndex
from tasks.batches.plan import GroupLines, spec_of
from tasks.batches.plan_files import PlanFiles
from tasks.fields import ImageFormat


@dataclass(frozen=True)
class Remainder:
    """The lines of a plan that have not succeeded.

    Attributes:
        index: the results so far, as ``BatchResults.load`` reads them.
    """

    batch: Batch
    plan: Plan
    plans: PlanFiles
    index: LineIndex
    base_models: BaseModels
    image_format: ImageFormat

    def groups(self) -> Iterator[tuple[GroupLines, Iterator[tuple[int, bytes]]]]:
        """In the order of the plan: each group, and the numbers and texts of its lines."""
        for number, group in enumerate(self.plan.groups):
            lines = GroupLines(number, group.base_model, group.adapters)
            yield lines, self._lines(group, lines)

    def _lines(self, group: Group, lines: GroupLines) -> Iterator[tuple[int, bytes]]:
        """The lines of a group, which are counted on the way."""
        adapters = self.plan.scaled(group)
        for row in self.plans.rows(self.batch, group.begin, group.end):
            if not self.index.has(row.number, part=1):
                line = parse_line(row.text, self.base_models)
                lines.count(spec_of(line, adapters, self.base_models, self.image_format, lambda _: 0))
                yield row.number, row.text
