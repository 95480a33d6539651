"""From groups of a plan to jobs: those of a batch, and those of a retry of its failed lines."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.batches.batch import Batch, Group, Plan
from tasks.batches.line import BatchLine, parse_line
from tasks.batches.line_index import LineIndex
from tasks.batches.plan import GroupLines, spec_of
from tasks.errors import BaseModelNotServed
from tasks.jobs.job import JobOptions, Line
from tasks.jobs.line_place import LinePlace
from tasks.service import Service

WINDOW = 1000
"""Jobs of a batch that are queued, drawn or not settled yet: enough for the seconds between two rounds."""


READ_BYTES = 256 * 1024


@dataclass(frozen=True)
class OpenGroup:
    """A group of the plan whose lines are not all jobs yet.

    Attributes:
        begin: where its next line lies in the plan.
    """

    number: int
    group: Group
    begin: int


def expand(service: Service, batch: Batch, plan: Plan) -> int:
    """Make jobs of the next lines, as many as the window has room for; how many.

    Lines are taken from several groups at once, so that each worker that is alive finds a group of its own.

    Raises:
        StorageError: the plan cannot be read.
    """
    room, made = WINDOW - len(service.batch_progress.jobs(batch)), 0
    groups = open_groups(service, batch, plan)
    for left, group in zip(range(len(groups), 0, -1), groups, strict=True):
        made += expand_group(service, batch, plan, group, (room - made) // left)
    return made


def open_groups(service: Service, batch: Batch, plan: Plan) -> list[OpenGroup]:
    """The groups to take lines from: the first that are not done, one for each worker of their base model.

    Raises:
        BaseModelNotServed: that of a group was removed from ``models.toml`` meanwhile.
    """
    cursors = service.batch_progress.cursors(batch)
    wanted = {model.slug: max(1, len(service.workers.alive(model.slug))) for model in service.base_models}
    first, done, found = int(cursors.get("first", 0)), list[int](), list[OpenGroup]()
    for number in range(first, len(plan.groups)):
        group = plan.groups[number]
        begin = int(cursors.get(str(number), group.begin))
        if begin >= group.end:
            if number == first + len(done):
                done.append(number)
        elif group.base_model not in wanted:
            raise BaseModelNotServed(f"The base model {group.base_model!r} is not served any more.")
        elif wanted[group.base_model]:
            wanted[group.base_model] -= 1
            found.append(OpenGroup(number, group, begin))
        if not any(wanted.values()):
            break
    if done:
        service.batch_progress.pass_groups(batch, first + len(done), done)
    return found


def expand_group(service: Service, batch: Batch, plan: Plan, open_group: OpenGroup, count: int) -> int:
    """Make jobs of at most ``count`` lines of a group; how many. Another process that does the same ends it."""
    group, made = open_group.group, 0
    if count <= 0:
        return 0
    adapters = plan.scaled(group)
    for begin, row in rows(service, batch, open_group.begin, group.end):
        if made >= count:
            break
        number, _, text = row.partition(b" ")
        line = parse_line(text, service.base_models)
        spec = spec_of(line, adapters, service.base_models, service.settings.image_format, secrets.randbelow)
        place = LinePlace(batch.id, batch.plan or "", open_group.number, begin, begin + len(row) + 1)
        options = options_of(batch, int(number), line)
        if service.store.create_line(batch.job_id(int(number)), spec, options, place) is None:
            break
        made += 1
    return made


def options_of(batch: Batch, number: int, line: BatchLine) -> JobOptions:
    """The terms of a line's job."""
    return JobOptions(
        owner=batch.options.owner,
        weight=batch.options.weight,
        deadline_s=line.deadline_s,
        line=Line(batch=batch.id, number=number, custom_id=line.custom_id),
    )


def rows(service: Service, batch: Batch, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The rows of the plan from one byte to another, with their places.

    Raises:
        ValueError: the plan is damaged: it ends within a row.
    """
    rest = b""
    while begin + len(rest) < end:
        start = begin + len(rest)
        rest += service.storage.get_range(f"{batch.plan}.jsonl", start, min(start + READ_BYTES, end))
        *whole, rest = rest.split(b"\n")
        for row in whole:
            yield begin, row
            begin += len(row) + 1
    if rest:
        raise ValueError(f"The plan of batch {batch.id} is damaged: there is no row from byte {begin} to {end}.")


@dataclass(frozen=True)
class Remainder:
    """What has not succeeded of a plan.

    Attributes:
        index: the results so far, as ``batch_results.load_results`` reads them.
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
