"""The results of a batch: written in parts as its jobs end, put into the order of its lines when all have."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import Field

from storage import Storage
from tasks.batches.batch import LINES_TYPE, Batch, result_objects
from tasks.batches.line_index import LineIndex, line_index
from tasks.batches.progress import BatchProgress
from tasks.client_jobs.record import ImageRecord, JobRecords
from tasks.errors import JobNotFound
from tasks.fields import Frozen, StoredRecord, read
from tasks.jobs.job import Job, Status
from tasks.jobs.result import Failure, StoredImage, SwapWay
from tasks.jobs.store import JobStore
from tasks.objects.notes import ObjectNotes

logger = logging.getLogger(__name__)

MAX_PER_PART = 1000
FORGET_AFTER_S = 120
"""Seconds for which the worker that drew a job may still check that its images are the job's."""


class LineResult(StoredRecord):
    """The result of a line."""

    line: int = Field(description="its number in the file; the first is 1")
    custom_id: str
    status: Status
    images: tuple[StoredImage, ...] = ()
    error: Failure | None = None


class LineRecord(Frozen):
    """The result of a line, as a client sees it."""

    line: int
    custom_id: str
    status: Status
    images: tuple[ImageRecord, ...]
    error: Failure | None


@dataclass(frozen=True)
class BatchResults:
    """Reads and writes the results of batches."""

    progress: BatchProgress
    jobs: JobStore
    records: JobRecords
    storage: Storage
    notes: ObjectNotes

    def settle_finished(self, batch: Batch) -> bool:
        """Put the results of jobs that have ended into storage and forget these jobs; return whether there were any.

        A crash at any point leaves the jobs where the next round finds them; the part that was written is then removed.

        Raises:
            StorageError: the part cannot be written.
        """
        ids = self.progress.ended(batch, MAX_PER_PART)
        if not ids:
            return False
        jobs = self.jobs.existing(ids)
        lost = self._count_lost(ids, jobs)
        part = f"{batch.folder}parts/{uuid.uuid4().hex}.jsonl"
        body = b"".join(result_of(job).model_dump_json().encode() + b"\n" for job in jobs)
        self.notes.note(part)
        self.storage.put(part, body, content_type=LINES_TYPE)
        if self.progress.settle(batch, part, ids, counts_of(jobs, lost)):
            for job in jobs:
                self.jobs.forget(job, after_s=FORGET_AFTER_S)
        return True

    def load(self, batch: Batch, index: LineIndex) -> None:
        """Read all results that are in storage into an index; of a line that was tried again, the latest.

        Raises:
            StorageError: a part cannot be read.
        """
        for part in self.progress.parts(batch):
            for body in self.storage.get(part).splitlines():
                result = read_result(body)
                index.replace(result.line, result.custom_id, int(result.status is Status.SUCCEEDED), body)

    def put(self, batch: Batch) -> str:
        """Put the results into storage in the order of the lines, and return the prefix of their keys, which are noted.

        Raises:
            StorageError: storage is unavailable.
        """
        results = f"{batch.folder}{uuid.uuid4().hex}/"
        with TemporaryDirectory() as name, line_index(Path(name)) as index:
            self.load(batch, index)
            for key, path in zip(result_objects(results), write_results(index, Path(name)), strict=True):
                self.notes.note(key)
                self.storage.upload(key, path, content_type=LINES_TYPE)
        return results

    def so_far(self, batch: Batch) -> Iterator[bytes]:
        """Yield the results that are in storage, in the order of the lines, each image with a new URL.

        Raises:
            StorageError: a part cannot be read.
        """
        with TemporaryDirectory() as name, line_index(Path(name)) as index:
            self.load(batch, index)
            for body in index.bodies():
                yield self._with_urls(read_result(body)).model_dump_json().encode() + b"\n"

    def _with_urls(self, result: LineResult) -> LineRecord:
        """Return a result as a client sees it."""
        images = tuple(self.records.of_image(image) for image in result.images)
        fields = result.model_dump(include={"line", "custom_id", "status", "error"})
        return LineRecord(**fields, images=images)

    def _count_lost(self, ids: Sequence[str], jobs: Sequence[Job]) -> int:
        """Return how many of these jobs have lost their records, and with them their results; a retry draws them again.

        Raises:
            RecordNotUnderstood: the others of them have a record that only a newer version reads, or that is damaged.
        """
        missing = sorted(set(ids) - {job.id for job in jobs})
        for job_id in missing:
            try:
                self.jobs.get(job_id)
            except JobNotFound:
                logger.error("job %s of a batch has no record any more, and its result is lost", job_id)
        return len(missing)


def counts_of(jobs: Sequence[Job], lost: int) -> dict[str, float]:
    """Return what these jobs, and some that are lost, add to the counters of their batch."""
    by_status = Counter(job.status for job in jobs)
    return {
        "ended": len(jobs) + lost,
        "succeeded": by_status[Status.SUCCEEDED],
        "failed": by_status[Status.FAILED] + lost,
        "canceled": by_status[Status.CANCELED],
        "swaps": sum(job.timings.swap_way is SwapWay.MERGED for job in jobs),
        "device_s": round(sum((job.timings.swap or 0) + (job.timings.draw or 0) for job in jobs), 3),
    }


def result_of(job: Job) -> LineResult:
    """Return the result of a job, as a line of the results."""
    line = job.options.line
    if line is None:
        raise ValueError(f"job {job.id} belongs to no batch")
    return LineResult(
        line=line.number, custom_id=line.custom_id, status=job.status, images=job.result.images, error=job.error
    )


def read_result(body: bytes) -> LineResult:
    """Return a line of the results that are in storage.

    Raises:
        RecordNotUnderstood: a newer version wrote it.
    """
    return read(LineResult, body, "A line of the results")


def write_results(index: LineIndex, folder: Path) -> tuple[Path, Path]:
    """Write the results in the order of the lines: all of them, and those without images."""
    every, errors = folder / "results.jsonl", folder / "errors.jsonl"
    write(every, index.bodies())
    write(errors, (body for _, body in index.part(0)))
    return every, errors


def write(path: Path, lines: Iterator[bytes]) -> None:
    """Write lines to a file."""
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)
