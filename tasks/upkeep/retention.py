"""Retention: removes jobs and batches that have been kept long enough, their objects first."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from storage import Storage
from tasks.batches.store import FINISHED as FINISHED_BATCHES
from tasks.batches.store import REMOVING, BatchStore
from tasks.errors import BatchNotFound
from tasks.jobs.index import JobIndex
from tasks.jobs.job import Job
from tasks.jobs.keyspace import FINISHED
from tasks.jobs.store import JobStore
from tasks.loops.loop import BUDGET_S, within
from tasks.loops.quarantine import Quarantine
from tasks.objects.keys import IMAGES, MANIFESTS
from tasks.objects.notes import ObjectNotes, remove_unrecorded
from tasks.upkeep.each_job import EachJob

logger = logging.getLogger(__name__)

MAX_PER_ROUND = 500
"""Jobs that one round removes. With a round every 5 s, more than 8 million a day."""


@dataclass(frozen=True)
class Retention:
    """Removes jobs and batches that have been kept long enough."""

    batches: BatchStore
    each_job: EachJob
    store: JobStore
    index: JobIndex
    storage: Storage
    object_notes: ObjectNotes
    quarantine: Quarantine

    def remove_objects(self) -> None:
        """Remove the objects that no record names.

        Raises:
            StorageError: storage is unavailable.
        """
        remove_unrecorded(self.object_notes, self.storage)

    def remove_batches(self) -> None:
        """Forget batches, then remove their objects; one that is retried meanwhile is left alone.

        Raises:
            StorageError: storage is unavailable; the next round continues.
        """
        for batch_id in self.batches.expired(MAX_PER_ROUND):
            self.quarantine.attempt(FINISHED_BATCHES, batch_id, partial(self.forget_batch, batch_id))
        for batch_id in within(BUDGET_S, self.batches.forgotten()):
            self.quarantine.attempt(REMOVING, batch_id, partial(self.remove_batch, batch_id))

    def forget_batch(self, batch_id: str) -> None:
        """Forget a batch, unless it was retried."""
        try:
            batch = self.batches.get(batch_id)
        except BatchNotFound:
            self.batches.forget_entry(batch_id)
        else:
            self.batches.forget(batch)

    def remove_batch(self, batch_id: str) -> None:
        """Remove the objects of a forgotten batch."""
        self.storage.delete(f"batches/{batch_id}/")
        for kind in (IMAGES, MANIFESTS):
            self.storage.delete(f"{kind}{batch_id}-")
        self.batches.removed(batch_id)

    def remove_jobs(self) -> None:
        """Remove the objects of jobs, then their records.

        Raises:
            StorageError: storage is unavailable; the next round continues.
        """
        self.each_job(FINISHED, self.index.expired(MAX_PER_ROUND), self.remove_job)

    def remove_job(self, job: Job) -> None:
        """Remove the objects of a job, then its record."""
        if job.attempt:
            for kind in (IMAGES, MANIFESTS):
                self.storage.delete(f"{kind}{job.id}/")
        self.store.forget(job)
