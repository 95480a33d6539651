"""Job records: jobs as clients see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import ConfigDict, Field

from storage import Storage
from tasks.adapters.file.identity import AdapterSource
from tasks.fields import Frozen
from tasks.jobs.index import JobIndex
from tasks.jobs.job import ImageSettings, Job, Lane, Progress, ScaledAdapter, Status
from tasks.jobs.manifest import Manifest, manifest_of
from tasks.jobs.result import AdapterReceipt, BaseReceipt, Failure, ReplayReport, StoredImage, Timings
from tasks.lanes.pace import Pace


class AdapterRecord(Frozen):
    """An adapter of a job, pinned to the file that was merged."""

    ref: str = Field(description="as the request gave it")
    scale: float
    source: AdapterSource
    repository: str
    commit: str = Field(description="commit of the repository on the Hub; for any other file, its SHA-256")
    weight_name: str


class ImageRecord(Frozen):
    """One image of a job that succeeded."""

    url: str | None = Field(description="valid for a while, and new in each response; null for a flagged image")
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    bytes: int
    sha256: str | None
    seed: int
    flagged: bool = Field(description="held back by the safety checker")


class JobState(Frozen):
    """The status of a job, and everything that clients see of it."""

    id: str
    status: Status
    lane: Lane
    position: int | None = Field(description="number of queued jobs of its base model ahead of it, while it is queued")
    eta_s: float | None = Field(
        description="while it is queued: seconds until it is likely to be drawn, from those that the latest jobs took "
        "and the workers alive; null when nothing is known"
    )
    progress: Progress | None = Field(description="while it is running")


class JobRecord(ImageSettings, JobState):
    """A job as `GET /v1/jobs/{id}` answers it. Times are in UTC, timings in seconds."""

    model_config = ConfigDict(extra="forbid")

    adapters: tuple[AdapterRecord, ...]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    worker: str | None
    timings: Timings
    images: tuple[ImageRecord, ...]
    receipts: tuple[AdapterReceipt, ...] = Field(description="what merging each adapter did to the weights")
    base: BaseReceipt | None = Field(
        description="the weights that the adapters were merged into, once it has succeeded"
    )
    manifest: Manifest | None = Field(description="what made its images, once it has succeeded; also inside them")
    replay: ReplayReport | None = Field(
        description="result of the comparison, if it replays another job and has succeeded"
    )
    error: Failure | None
    retry_of: str | None = Field(description="id of the failed job that it retries")
    warnings: tuple[str, ...] = Field(
        description="possible problems of the request or its images that did not prevent it"
    )


@dataclass(frozen=True)
class JobRecords:
    """Makes the records of jobs."""

    index: JobIndex
    pace: Pace
    storage: Storage

    def of(self, job: Job) -> JobRecord:
        """Return the record of a job, with fresh URLs, its position in the queue and the estimated time."""
        spec = job.spec
        position = self.index.position(job) if job.status is Status.QUEUED else None
        return JobRecord(
            **job.model_dump(
                include={"id", "status", "lane", "created_at", "started_at", "finished_at", "attempt", "worker"}
            ),
            **spec.model_dump(include=set(ImageSettings.model_fields)),
            position=position,
            eta_s=None if position is None else self.pace.eta_s(spec.base_model, position),
            progress=job.progress if job.status is Status.RUNNING else None,
            adapters=tuple(adapter_record(scaled) for scaled in spec.adapters),
            timings=job.timings,
            images=tuple(self.of_image(image) for image in job.result.images),
            receipts=job.result.receipts,
            base=job.result.base,
            manifest=manifest_of(job),
            replay=job.result.replay,
            error=job.error,
            retry_of=job.options.retry_of,
            warnings=(*job.options.warnings, *job.result.warnings),
        )

    def of_image(self, image: StoredImage) -> ImageRecord:
        """Return an image as the record shows it, with a fresh URL."""
        url = None if image.key is None else self.storage.url(image.key)
        return ImageRecord(url=url, **image.model_dump(include=set(ImageRecord.model_fields)))


def adapter_record(scaled: ScaledAdapter) -> AdapterRecord:
    """An adapter as the record shows it."""
    fields = scaled.adapter.model_dump(include=AdapterRecord.model_fields.keys() - {"scale"})
    return AdapterRecord(**fields, scale=scaled.scale)
