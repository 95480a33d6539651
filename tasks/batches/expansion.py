"""From groups of a plan to jobs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from tasks.base_models.registry import BaseModels
from tasks.batches.batch import Batch, Group, Plan
from tasks.batches.line import BatchLine, parse_line
from tasks.batches.plan import spec_of
from tasks.batches.plan_files import PlanFiles
from tasks.batches.progress import BatchProgress
from tasks.errors import BaseModelNotServed
from tasks.fields import ImageFormat
from tasks.jobs.job import JobOptions, Line
from tasks.jobs.line_place import LinePlace
from tasks.jobs.recorder import JobRecorder
from tasks.lanes.worker_registry import WorkerRegistry

WINDOW = 1000
"""Jobs of a batch that are queued, drawn or not settled yet: enough for the seconds between two rounds."""


@dataclass(frozen=True)
class OpenGroup:
    """A group of the plan whose lines are not all jobs yet.

    Attributes:
        begin: where its next line lies in the plan.
    """

    number: int
    group: Group
    begin: int


@dataclass(frozen=True)
class BatchExpansion:
    """Makes jobs of lines."""

    progress: BatchProgress
    plans: PlanFiles
    recorder: JobRecorder
    workers: WorkerRegistry
    base_models: BaseModels
    image_format: ImageFormat

    def expand(self, batch: Batch, plan: Plan) -> int:
        """Make jobs of the next lines, as many as the window has room for; return their number.

        Lines are taken from several groups at once, so that each worker that is alive finds a separate group.

        Raises:
            StorageError: the plan cannot be read.
        """
        room, made = WINDOW - len(self.progress.jobs(batch)), 0
        groups = self._open_groups(batch, plan)
        for left, group in zip(range(len(groups), 0, -1), groups, strict=True):
            made += self._expand_group(batch, plan, group, (room - made) // left)
        return made

    def _open_groups(self, batch: Batch, plan: Plan) -> list[OpenGroup]:
        """Return the groups to take lines from: the first that are not done, one for each worker of their base model.

        Raises:
            BaseModelNotServed: that of a group was removed from ``models.toml`` meanwhile.
        """
        cursors = self.progress.cursors(batch)
        wanted = {model.slug: max(1, len(self.workers.alive(model.slug))) for model in self.base_models}
        first, done, found = int(cursors.get("first", 0)), list[int](), list[OpenGroup]()
        for number in range(first, len(plan.groups)):
            group = plan.groups[number]
            begin = int(cursors.get(str(number), group.begin))
            if begin >= group.end:
                if number == first + len(done):
                    done.append(number)
            elif group.base_model not in wanted:
                raise BaseModelNotServed(f"The base model {group.base_model!r} is no longer served.")
            elif wanted[group.base_model]:
                wanted[group.base_model] -= 1
                found.append(OpenGroup(number, group, begin))
            if not any(wanted.values()):
                break
        if done:
            self.progress.pass_groups(batch, first + len(done), done)
        return found

    def _expand_group(self, batch: Batch, plan: Plan, open_group: OpenGroup, count: int) -> int:
        """Make jobs of at most ``count`` lines, until another process makes jobs of them too; return their number."""
        made = 0
        if count <= 0:
            return 0
        adapters = plan.scaled(open_group.group)
        for row in self.plans.rows(batch, open_group.begin, open_group.group.end):
            if made >= count:
                break
            line = parse_line(row.text, self.base_models)
            spec = spec_of(line, adapters, self.base_models, self.image_format, secrets.randbelow)
            place = LinePlace(batch.id, batch.plan or "", open_group.number, row.begin, row.end)
            options = options_of(batch, row.number, line)
            if self.recorder.create_line(batch.job_id(row.number), spec, options, place) is None:
                break
            made += 1
        return made


def options_of(batch: Batch, number: int, line: BatchLine) -> JobOptions:
    """Return the options of a line's job."""
    return JobOptions(
        owner=batch.options.owner,
        weight=batch.options.weight,
        deadline_s=line.deadline_s,
        line=Line(batch=batch.id, number=number, custom_id=line.custom_id),
    )
