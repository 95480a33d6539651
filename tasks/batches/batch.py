"""A batch: a file of requests that become jobs of the backfill lane."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from pydantic import Field

from tasks.adapters.file.identity import ResolvedAdapter
from tasks.fields import Stored, StoredRecord
from tasks.jobs.job import ScaledAdapter
from tasks.jobs.result import Failure

LINES_TYPE = "application/jsonl"
"""Content type of files with an object in each line."""

MAX_LINES = 1_000_000
MAX_BYTES = 1 << 30
MAX_LINE_BYTES = 64 * 1024
MAX_ADAPTERS = 1000
MAX_GROUPS = 10_000
MAX_ERRORS = 1000
"""Errors that are reported with their lines; further ones are only counted."""


class BatchStatus(StrEnum):
    """The state of a batch."""

    VALIDATING = "validating"
    """Its lines are read, checked and put into the order of drawing; in a retry, those that have no images yet."""
    PLANNED = "planned"
    """It was only to be planned: nothing is drawn."""
    RUNNING = "running"
    """Its lines become jobs, a bounded number at a time."""
    CANCELING = "canceling"
    """No further line becomes a job, and the jobs are canceled."""
    COMPLETED = "completed"
    """Every line has ended, well or not, and the results are in storage."""
    FAILED = "failed"
    """It cannot run, or cannot go on; ``error`` and ``errors`` say why."""
    CANCELED = "canceled"
    """Its client canceled it; the results of what was drawn before are in storage."""

    @property
    def is_terminal(self) -> bool:
        return self in ENDS


TRANSITIONS: Mapping[BatchStatus, frozenset[BatchStatus]] = MappingProxyType(
    {
        BatchStatus.VALIDATING: frozenset(
            {BatchStatus.PLANNED, BatchStatus.RUNNING, BatchStatus.FAILED, BatchStatus.CANCELED}
        ),
        BatchStatus.PLANNED: frozenset(),
        BatchStatus.RUNNING: frozenset({BatchStatus.COMPLETED, BatchStatus.CANCELING}),
        BatchStatus.CANCELING: frozenset({BatchStatus.CANCELED, BatchStatus.FAILED}),
        BatchStatus.COMPLETED: frozenset({BatchStatus.VALIDATING}),
        BatchStatus.CANCELED: frozenset({BatchStatus.VALIDATING}),
        BatchStatus.FAILED: frozenset({BatchStatus.VALIDATING}),
    }
)
"""From each status, those that may follow it. A retry leads back to the beginning."""

ENDS = frozenset({BatchStatus.PLANNED, BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELED})


def sources(target: BatchStatus) -> frozenset[BatchStatus]:
    """The statuses from which ``target`` may be reached."""
    return frozenset(source for source, targets in TRANSITIONS.items() if target in targets)


class OnError(StrEnum):
    """The treatment of a batch with lines that cannot be served."""

    REJECT = "reject"
    """No line is drawn."""
    SKIP = "skip"
    """The other lines are drawn."""


class BatchOptions(Stored):
    """The client of a batch, and the options that it has chosen."""

    owner: str | None = Field(None, description="id of the API key that submitted it; null where none is configured")
    on_error: OnError = OnError.REJECT
    webhook_url: str | None = Field(None, description="receives a message when the batch has ended")
    weight: int = Field(1, description="share of its owner in drawing, relative to other owners")
    dry_run: bool = Field(False, description="plan it without drawing anything")


class LineError(Stored):
    """An error in a line."""

    line: int = Field(description="its number; the first is 1")
    message: str


class Group(Stored):
    """Lines of a plan with the same adapters: they are drawn one after another. They lie together in the plan.

    Attributes:
        begin: first byte in the plan.
        end: the byte behind the last.
        lines: how many.
        images: number of their images.
        pixel_steps: their cost: pixels times steps of all these images.
        adapters: indexes into the plan's adapters, with their scales.
    """

    base_model: str
    begin: int
    end: int
    lines: int
    images: int
    pixel_steps: int
    adapters: tuple[tuple[int, float], ...]


class Plan(StoredRecord):
    """The order in which the lines of a batch are drawn. It is in storage, beside the lines in this order."""

    adapters: tuple[ResolvedAdapter, ...]
    groups: tuple[Group, ...]

    def scaled(self, group: Group) -> tuple[ScaledAdapter, ...]:
        """The adapters of a group."""
        return tuple(ScaledAdapter(adapter=self.adapters[place], scale=scale) for place, scale in group.adapters)


class Forecast(Stored):
    """The estimated cost of a plan, from what this service has measured; null where it has measured nothing yet."""

    lines: int
    images: int
    swaps: int = Field(description="one for each set of adapters; a worker that helps another adds one")
    adapters: int = Field(description="different adapter files")
    adapter_bytes: int = Field(description="size of these files, as far as it is known")
    device_s: float | None = Field(description="seconds of drawing and swapping on one device")
    finish_s: float | None = Field(description="seconds until it is done, with the workers that were alive")


class Batch(StoredRecord):
    """A batch as the store keeps it. Times are those of the store's clock, in UTC."""

    id: str
    options: BatchOptions = BatchOptions()
    status: BatchStatus
    step: str = Field("", description="id of its latest step: the next one holds only if no other came between")
    request: str = Field("", description="digest of the file and of what was asked for")
    input: str = Field(description="key of its file in storage")
    plan: str | None = Field(None, description="where its plan lies in storage, without the ending")
    results: str | None = Field(None, description="with what the keys of its results begin, once they are written")
    created_at: datetime
    started_at: datetime | None = Field(None, description="when its lines began to become jobs")
    finished_at: datetime | None = None
    generation: int = Field(0, description="how often the lines without images were begun again")
    lines: int = Field(0, description="lines of the current plan")
    skipped: int = Field(0, description="lines that cannot be served")
    errors: tuple[LineError, ...] = ()
    forecast: Forecast | None = None
    ended: int = Field(0, description="lines of the current plan whose results are in storage")
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    swaps: int = Field(0, description="of the jobs that have ended")
    device_s: float = Field(0, description="seconds for which these jobs held a device")
    error: Failure | None = None

    @property
    def all_lines(self) -> int:
        """Its lines that can be served: those of the present plan, and those that succeeded before a retry."""
        return self.lines - self.ended + self.succeeded + self.failed + self.canceled

    @property
    def folder(self) -> str:
        """The prefix of the keys of its objects in storage, except the images."""
        return f"batches/{self.id}/"

    @property
    def plan_objects(self) -> tuple[str, ...]:
        """Keys of its plan: the lines in the order of drawing, and where each group lies among them."""
        return plan_objects(self.plan)

    @property
    def result_objects(self) -> tuple[str, ...]:
        """Keys of its results: all of them, and those without images."""
        return result_objects(self.results)

    def has_begun(self, job_id: str) -> bool:
        """Return whether a job of this batch is of its present generation."""
        _, _, generation = job_id.removeprefix(f"{self.id}-").partition("-")
        return generation == (str(self.generation) if self.generation else "")

    def job_id(self, line: int) -> str:
        """The id of the job that a line becomes."""
        again = f"-{self.generation}" if self.generation else ""
        return f"{self.id}-{line}{again}"


def plan_objects(plan: str | None) -> tuple[str, ...]:
    """Keys of a plan."""
    return (f"{plan}.jsonl", f"{plan}.json") if plan else ()


def result_objects(results: str | None) -> tuple[str, ...]:
    """Keys of results."""
    return (f"{results}results.jsonl", f"{results}errors.jsonl") if results else ()
