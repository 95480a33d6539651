"""Jobs and batches that have been kept long enough: what they have in storage goes, and their records."""

from __future__ import annotations

import logging
from functools import partial

from tasks.batches.store import FINISHED as FINISHED_BATCHES
from tasks.batches.store import REMOVING
from tasks.errors import BatchNotFound
from tasks.jobs.job import Job
from tasks.jobs.keyspace import FINISHED
from tasks.loops.loop import BUDGET_S, within
from tasks.loops.quarantine import each_job
from tasks.objects.keys import IMAGES, MANIFESTS
from tasks.objects.notes import remove_untaken
from tasks.service import Service

logger = logging.getLogger(__name__)

MAX_PER_ROUND = 500
"""How many jobs one round removes. With a round every 5 s, more than 8 million a day."""


def remove_objects(service: Service) -> None:
    """Remove the objects that no record names.

    Raises:
        StorageError: storage is unavailable.
    """
    remove_untaken(service.object_notes, service.storage)


def remove_batches(service: Service) -> None:
    """Forget batches, then remove what they have in storage: one that is begun again meanwhile is left alone.

    Raises:
        StorageError: storage is unavailable; the next round goes on.
    """
    for batch_id in service.batches.expired(MAX_PER_ROUND):
        service.quarantine.attempt(FINISHED_BATCHES, batch_id, partial(forget_batch, service, batch_id))
    for batch_id in within(BUDGET_S, service.batches.forgotten()):
        service.quarantine.attempt(REMOVING, batch_id, partial(remove_batch, service, batch_id))


def forget_batch(service: Service, batch_id: str) -> None:
    """Forget a batch, unless it was begun again."""
    try:
        batch = service.batches.get(batch_id)
    except BatchNotFound:
        service.batches.forget_entry(batch_id)
    else:
        service.batches.forget(batch)


def remove_batch(service: Service, batch_id: str) -> None:
    """Remove what a forgotten batch has in storage."""
    service.storage.delete(f"batches/{batch_id}/")
    for kind in (IMAGES, MANIFESTS):
        service.storage.delete(f"{kind}{batch_id}-")
    service.batches.removed(batch_id)


def remove_jobs(service: Service) -> None:
    """Remove what jobs have in storage, then their records.

    Raises:
        StorageError: storage is unavailable; the next round goes on.
    """
    each_job(
        service.quarantine, service.store, FINISHED, service.store.expired(MAX_PER_ROUND), partial(remove_job, service)
    )


def remove_job(service: Service, job: Job) -> None:
    """Remove what a job has in storage, then its record."""
    if job.attempt:
        for kind in (IMAGES, MANIFESTS):
            service.storage.delete(f"{kind}{job.id}/")
    service.store.forget(job)
