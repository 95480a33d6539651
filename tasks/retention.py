"""Jobs and batches that have been kept long enough: what they have in storage goes, then their records."""

from __future__ import annotations

from tasks.object_notes import remove_untaken
from tasks.service import Service

MOST_A_ROUND = 500
"""How many jobs one round removes. With a round every 5 s, more than 8 million a day."""


def remove_expired(service: Service) -> None:
    """One round. Storage that is unavailable ends it, and the next one begins where it stood.

    Raises:
        StorageError: storage is unavailable.
    """
    remove_untaken(service.object_notes, service.storage)
    for batch in service.batches.expired(MOST_A_ROUND):
        service.storage.delete(batch.folder)
        service.storage.delete(batch.images)
        service.batches.forget(batch)
    for job in service.store.expired(MOST_A_ROUND):
        if job.attempt:
            service.storage.delete(f"images/{job.id}/")
        service.store.forget(job)
