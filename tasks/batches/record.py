"""The record of a batch that clients see, alone and in a list."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from storage import Storage
from tasks.batches.batch import Batch, BatchStatus, Forecast, LineError, OnError
from tasks.batches.progress import BatchProgress
from tasks.batches.store import BatchStore
from tasks.jobs.job import Status
from tasks.jobs.result import Failure


class BatchCounts(BaseModel):
    """The number of lines in each state."""

    model_config = ConfigDict(frozen=True)

    lines: int = Field(description="valid lines")
    skipped: int = Field(description="invalid lines")
    waiting: int = Field(description="that are not jobs yet")
    queued: int
    running: int
    succeeded: int
    failed: int
    canceled: int


class BatchOutcome(BaseModel):
    """The cost of a batch so far, to compare with its forecast."""

    model_config = ConfigDict(frozen=True)

    swaps: int
    device_s: float = Field(description="seconds for which its jobs held a device")
    elapsed_s: float | None = Field(description="seconds since its lines began to become jobs")


class BatchRecord(BaseModel):
    """A batch as `GET /v1/batches/{id}` answers it. Times are in UTC."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: BatchStatus
    on_error: OnError
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    counts: BatchCounts
    lines_per_s: float | None = Field(description="that have ended, since it began")
    eta_s: float | None = Field(description="estimated seconds until it is done, at this rate")
    forecast: Forecast | None = Field(description="cost of its plan, once it is planned")
    outcome: BatchOutcome
    results_url: str | None = Field(description="URL of its results in the order of its lines, once it has ended")
    errors_url: str | None = Field(description="URL of the results without images")
    errors: tuple[LineError, ...] = Field(description="invalid lines, the first 1000")
    error: Failure | None


class BatchPage(BaseModel):
    """A page of the client's batches, newest first."""

    model_config = ConfigDict(frozen=True)

    batches: tuple[BatchRecord, ...]
    next_before: str | None = Field(description="cursor of the next page; null on the last page")


@dataclass(frozen=True)
class BatchRecords:
    """Makes the records of batches."""

    batches: BatchStore
    progress: BatchProgress
    storage: Storage

    def of(self, batch: Batch, now: datetime | None = None) -> BatchRecord:
        """Return the record of a batch, with fresh URLs."""
        statuses = Counter(self.progress.statuses(batch))
        ended = batch.ended + sum(count for status, count in statuses.items() if status.is_terminal)
        elapsed_s = elapsed(batch, now or datetime.now(UTC))
        rate = ended / elapsed_s if elapsed_s and ended else None
        is_under_way = batch.status is BatchStatus.RUNNING
        has_results = batch.results and batch.status.is_terminal
        results, errors = (self.storage.url(key) for key in batch.result_objects) if has_results else (None, None)
        return BatchRecord(
            **batch.model_dump(include={"id", "status", "created_at", "started_at", "finished_at"}),
            on_error=batch.options.on_error,
            counts=counts_of(batch, statuses),
            lines_per_s=None if rate is None else round(rate, 3),
            eta_s=round((batch.lines - ended) / rate, 1) if rate and is_under_way else None,
            forecast=batch.forecast,
            outcome=BatchOutcome(swaps=batch.swaps, device_s=batch.device_s, elapsed_s=elapsed_s),
            results_url=results,
            errors_url=errors,
            errors=batch.errors,
            error=batch.error,
        )

    def page(self, owner: str | None, *, limit: int, before: str | None = None) -> BatchPage:
        """Return a page of an owner's batches.

        Args:
            limit: how many at most.
            before: id of the last one of the page before; None begins with the newest.

        Raises:
            InvalidRequest: the owner has no such batch.
        """
        ids = self.batches.ids_of(owner, limit + 1, before)
        return BatchPage(
            batches=tuple(self.of(batch) for batch in self.batches.existing(ids[:limit])),
            next_before=ids[limit - 1] if len(ids) > limit else None,
        )


def elapsed(batch: Batch, now: datetime) -> float | None:
    """Return the seconds since the lines of a batch began to become jobs, until its end."""
    if batch.started_at is None:
        return None
    return round(max(0.0, ((batch.finished_at or now) - batch.started_at).total_seconds()), 3)


def counts_of(batch: Batch, statuses: Counter[Status]) -> BatchCounts:
    """Return the number of lines in each state.

    Args:
        statuses: of the jobs whose results are not in storage yet.
    """
    return BatchCounts(
        lines=batch.all_lines,
        skipped=batch.skipped,
        waiting=max(0, batch.lines - batch.ended - statuses.total()) if batch.started_at else batch.lines,
        queued=statuses[Status.QUEUED],
        running=statuses[Status.RUNNING],
        succeeded=batch.succeeded + statuses[Status.SUCCEEDED],
        failed=batch.failed + statuses[Status.FAILED],
        canceled=batch.canceled + statuses[Status.CANCELED],
    )
