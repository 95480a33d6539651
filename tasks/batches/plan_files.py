"""The plans in storage: of each the lines in the order of drawing, and where each group lies among them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storage import Storage
from tasks.batches.batch import LINES_TYPE, Batch, Plan, plan_objects
from tasks.fields import read
from tasks.objects.notes import ObjectNotes

READ_BYTES = 256 * 1024


@dataclass(frozen=True)
class Row:
    """A line in a plan.

    Attributes:
        begin: its first byte in the plan.
        end: the byte behind the last.
        number: of the line in the batch's file; the first is 1.
    """

    begin: int
    end: int
    number: int
    text: bytes


@dataclass(frozen=True)
class PlanFiles:
    """Reads and writes plans."""

    storage: Storage
    notes: ObjectNotes

    def put(self, batch: Batch, plan: Plan, lines: Path) -> str:
        """Put a plan into storage under a new key, and return this key without the suffix. Its objects are noted."""
        key = f"{batch.folder}plan-{uuid.uuid4().hex}"
        lines_key, groups_key = plan_objects(key)
        for name in plan_objects(key):
            self.notes.note(name)
        self.storage.upload(lines_key, lines, content_type=LINES_TYPE)
        self.storage.put(groups_key, plan.model_dump_json().encode(), content_type="application/json")
        return key

    def read(self, batch: Batch) -> Plan:
        """The present plan of a batch.

        Raises:
            ObjectNotFound: it was removed.
            RecordNotUnderstood: it is damaged, or of a newer version.
        """
        return read(Plan, self.storage.get(f"{batch.plan}.json"), f"The plan of batch {batch.id}")

    def rows(self, batch: Batch, begin: int, end: int) -> Iterator[Row]:
        """The rows of the present plan from one byte to another.

        Raises:
            ValueError: the plan is damaged: it ends within a row, or a row has no number.
        """
        rest = b""
        while begin + len(rest) < end:
            start = begin + len(rest)
            rest += self.storage.get_range(f"{batch.plan}.jsonl", start, min(start + READ_BYTES, end))
            *whole, rest = rest.split(b"\n")
            for row in whole:
                number, _, text = row.partition(b" ")
                yield Row(begin, begin + len(row) + 1, int(number), text)
                begin += len(row) + 1
        if rest:
            raise ValueError(f"The plan of batch {batch.id} is damaged: there is no row from byte {begin} to {end}.")
