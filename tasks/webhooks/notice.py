"""The message of the end of a job or a batch: its record, without URLs.

A URL gives access to all who have it, and may be stale when a late delivery comes; the receiver polls for fresh ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasks.batches.batch import Batch
from tasks.batches.record import BatchRecords
from tasks.batches.store import BatchStore
from tasks.client_jobs.record import JobRecords
from tasks.errors import EventSuperseded
from tasks.jobs.job import Job
from tasks.jobs.keyspace import BATCH
from tasks.jobs.store import JobStore
from tasks.webhooks.ends import End


@dataclass(frozen=True)
class Notice:
    """A message.

    Attributes:
        end: the end that it reports, and its receiver.
        data: the record.
    """

    end: End
    ended_at: datetime
    data: Mapping[str, Any]

    @property
    def body(self) -> str:
        """The text that is sent."""
        message = {"type": self.end.event, "timestamp": self.ended_at.isoformat(), "data": self.data}
        return json.dumps(message, separators=(",", ":"))


@dataclass(frozen=True)
class Notices:
    """Makes the messages of ends.

    Names are those of ``End``: the id of a job, or of a batch behind ``batch:``.
    """

    jobs: JobStore
    batches: BatchStore
    job_records: JobRecords
    batch_records: BatchRecords

    def end(self, name: str) -> End:
        """Return the end of this name.

        Raises:
            BatchNotFound, JobNotFound: its record has expired.
            EventSuperseded: it is a batch that is being tried again.
        """
        if name.startswith(BATCH):
            return end_of_batch(self.batches.get(name.removeprefix(BATCH)))
        return end_of_job(self.jobs.get(name))

    def notice(self, name: str) -> Notice:
        """Return the message of the end of this name.

        Raises:
            BatchNotFound, JobNotFound, EventSuperseded: as ``end`` does.
        """
        if name.startswith(BATCH):
            return self._batch_notice(self.batches.get(name.removeprefix(BATCH)))
        return self._job_notice(self.jobs.get(name))

    def _job_notice(self, job: Job) -> Notice:
        # Without their keys no URL is signed: the sender may have no credentials for the storage.
        images = tuple(image.model_copy(update={"key": None}) for image in job.result.images)
        unsigned = job.model_copy(update={"result": job.result.model_copy(update={"images": images})})
        data = self.job_records.of(unsigned).model_dump(mode="json", exclude={"images": {"__all__": {"url"}}})
        return Notice(end_of_job(job), job.finished_at or job.created_at, data)

    def _batch_notice(self, batch: Batch) -> Notice:
        end = end_of_batch(batch)
        data = self.batch_records.of(batch).model_dump(mode="json", exclude={"results_url", "errors_url"})
        return Notice(end, batch.finished_at or batch.created_at, data)


def end_of_job(job: Job) -> End:
    """Return the end of a job."""
    return End(job.id, f"msg_{job.id}", f"job.{job.status}", job.options.owner, job.options.webhook_url or "")


def end_of_batch(batch: Batch) -> End:
    """Return the end of a batch. A batch that is tried again ends once more, with another message.

    Raises:
        EventSuperseded: it has not ended.
    """
    if not batch.status.is_terminal:
        raise EventSuperseded("the batch is being tried again, and its next end has another message")
    delivery_id = f"msg_{batch.id}-{batch.generation}"
    return End(
        BATCH + batch.id, delivery_id, f"batch.{batch.status}", batch.options.owner, batch.options.webhook_url or ""
    )
