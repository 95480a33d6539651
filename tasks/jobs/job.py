"""A job: its specification, its options, its status and its lease."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from pydantic import Field

from tasks.adapters.file.identity import ResolvedAdapter
from tasks.base_models.registry import Scheduler
from tasks.fields import Frozen, ImageFormat, Stored, StoredRecord
from tasks.jobs.result import (
    Failure,
    Result,
    SwapWay,
    Timings,
)


class Status(StrEnum):
    """The status of a job. The job store alone decides; Celery's own states are never shown."""

    QUEUED = "queued"
    """Waiting for a worker of its base model."""
    RUNNING = "running"
    """One worker holds the lease and works on it."""
    SUCCEEDED = "succeeded"
    """Its images are in storage."""
    FAILED = "failed"
    """It ended without images; ``error`` says why."""
    CANCELED = "canceled"
    """Its client canceled it."""

    @property
    def is_terminal(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.QUEUED: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELED}),
        Status.RUNNING: frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.QUEUED}),
        Status.SUCCEEDED: frozenset(),
        Status.FAILED: frozenset(),
        Status.CANCELED: frozenset(),
    }
)
"""From each status, those that may follow it. Running goes back to queued when a lease lapses or is returned."""


def sources(target: Status) -> frozenset[Status]:
    """The statuses from which ``target`` may be reached."""
    return frozenset(source for source, targets in TRANSITIONS.items() if target in targets)


class Lane(StrEnum):
    """The order between jobs: interactive ones go first."""

    INTERACTIVE = "interactive"
    """A client waits for it."""
    BACKFILL = "backfill"
    """A line of a batch: behind every interactive job."""


class ScaledAdapter(Stored):
    """An adapter, pinned to a commit, and how strongly it is merged."""

    adapter: ResolvedAdapter
    scale: float


class ImageSettings(Stored):
    """The settings that fix an image beside its adapters, as a job's record shows them too."""

    base_model: str = Field(description="slug")
    prompt: str
    negative_prompt: str | None
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    steps: int
    guidance_scale: float
    scheduler: Scheduler | None = Field(description="null means the model's own scheduler")
    clip_skip: int | None = Field(
        None,
        description="number of last layers of the CLIP text encoder that are skipped for the prompt; null for none",
    )
    seed: int = Field(description="seed of the first image; each further image adds 1")
    image_format: ImageFormat


class JobSpec(ImageSettings):
    """Everything that fixes a job's images; nothing in it is left open."""

    adapters: tuple[ScaledAdapter, ...]
    image_count: int

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of fields that are set and that not every version has: a worker must know all of them."""
        parts = (self, *self.adapters, *(scaled.adapter for scaled in self.adapters))
        return tuple(sorted({name for part in parts for name in optional_fields(part)}))

    @property
    def unknown(self) -> tuple[str, ...]:
        """Fields that it needs and this version does not know: drawn here, its images would be different."""
        return tuple(name for name in self.needs if name not in KNOWN_FIELDS)

    @property
    def pixel_steps(self) -> int:
        """Its cost: pixels times steps of all its images."""
        return self.width * self.height * self.steps * self.image_count


def shown(spec: JobSpec) -> JobSpec:
    """Return a specification for other clients, with everything that fixes the images."""
    adapters = tuple(scaled.model_copy(update={"adapter": scaled.adapter.shown}) for scaled in spec.adapters)
    return spec.model_copy(update={"adapters": adapters})


KNOWN_FIELDS = frozenset(name for kind in (JobSpec, ScaledAdapter, ResolvedAdapter) for name in kind.model_fields)
"""The fields by which this version fixes images. A field that a version adds is null in jobs that do without it."""


def optional_fields(part: Stored) -> Iterator[str]:
    """The fields of a specification that are set, and could be left out."""
    yield from (name for name, value in (part.model_extra or {}).items() if value is not None)
    yield from (
        name
        for name, field in type(part).model_fields.items()
        if not field.is_required() and getattr(part, name) is not None
    )


class Line(Stored):
    """The line of a batch that a job comes from."""

    batch: str = Field(description="id")
    number: int = Field(description="of the line in its file; the first is 1")
    custom_id: str = Field(description="its client's own name for it")


class JobOptions(Stored):
    """The owner of a job, and its options beside the images."""

    owner: str | None = Field(
        None, description="id of the API key that submitted the job; null where none is configured"
    )
    deadline_s: float | None = Field(None, description="seconds after it was accepted within which it must begin")
    webhook_url: str | None = Field(None, description="URL that is called when the job has ended")
    line: Line | None = Field(None, description="of the batch that it belongs to")
    weight: int = Field(1, description="share of its owner in drawing, relative to other owners")
    replay_of: str | None = Field(None, description="id of the job that it draws again, to be compared")
    retry_of: str | None = Field(None, description="id of the failed job that it retries")
    warnings: tuple[str, ...] = Field((), description="what was doubtful about the request, and did not stop it")


class Progress(Stored):
    """Steps that are drawn."""

    step: int
    of: int


class Measured(Stored):
    """Seconds, on average of the latest jobs of a base model; None before the first."""

    job: float | None = Field(None, description="for which a job held the device")
    swap: float | None = Field(None, description="that a swap took")
    pixel_step: float | None = Field(None, description="that drawing took, by pixels times steps")

    @classmethod
    def of(cls, spec: JobSpec, timings: Timings) -> Self:
        """Return what one job adds to the averages."""
        if timings.draw is None:
            return cls()
        return cls(
            job=(timings.swap or 0) + timings.draw,
            swap=None if timings.swap_way in (None, SwapWay.KEPT) else timings.swap,
            pixel_step=timings.draw / spec.pixel_steps,
        )


class Lease(Frozen):
    """A worker's right to a job, which another claim makes void."""

    job_id: str
    attempt: int
    claim: str = Field(
        description="random part: a store that has forgotten its last second may count an attempt twice, "
        "and the two must share nothing"
    )

    @property
    def token(self) -> str:
        """The fencing token, which also names the attempt in storage."""
        return f"{self.attempt}-{self.claim}"


class Job(StoredRecord):
    """A job as the store keeps it. Times are those of the store's clock, in UTC."""

    id: str
    spec: JobSpec
    options: JobOptions = JobOptions()
    lane: Lane
    status: Status
    attempt: int = Field(0, description="how many workers have claimed it")
    claim: str = Field("", description="random part of the latest claim; empty before the first")
    uncounted: int = Field(0, description="how many of them ended by no doing of the job")
    failed_on: tuple[str, ...] = Field((), description="workers whose machine was at fault in an earlier attempt")
    waits: bool = Field(
        False, description="its worker draws another job; if that kills the worker, this one is innocent"
    )
    worker: str | None = None
    created_at: datetime
    sent_at: datetime | None = Field(None, description="when its latest message was put on its queue")
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: Progress | None = None
    timings: Timings = Timings()
    result: Result = Result(images=())
    error: Failure | None = None

    @property
    def tries(self) -> int:
        """Attempts that count against ``max_attempts``."""
        return self.attempt - self.uncounted - self.waits

    def may_be_tried_again(self, max_attempts: int) -> bool:
        """Return whether an attempt is left to a job that has just failed in one, or lost its worker in one."""
        return self.tries < max_attempts

    @property
    def lease(self) -> Lease:
        return Lease(job_id=self.id, attempt=self.attempt, claim=self.claim)


def log_fields(*jobs: Job) -> dict[str, object]:
    """The fields for ``log_context`` while attempts at these jobs of one base model are worked on together."""
    return {
        "job": ",".join(job.id for job in jobs),
        "attempt": ",".join(str(job.attempt) for job in jobs),
        "base_model": jobs[0].spec.base_model,
    }
