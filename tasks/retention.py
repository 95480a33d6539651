"""Jobs and batches that have been kept long enough: what they have in storage goes, then their records."""

from __future__ import annotations

import logging
from threading import Lock

from storage import StorageError
from tasks.object_notes import remove_untaken
from tasks.service import Service

logger = logging.getLogger(__name__)

MOST_A_ROUND = 500
"""How many jobs one round removes. With a round every 5 s, more than 8 million a day."""

one_at_a_time = Lock()


def remove_expired(service: Service) -> None:
    """One round. Storage that is away ends it, and the next one begins where it stood.

    It is no part of housekeeping, and never runs twice at once: storage that answers slowly must hold up nothing else
    of the light worker.
    """
    if not one_at_a_time.acquire(blocking=False):
        return
    try:
        remove_untaken(service.object_notes, service.storage)
        for batch in service.batches.expired(MOST_A_ROUND):
            service.storage.delete(batch.folder)
            service.storage.delete(batch.images)
            service.batches.forget(batch)
        for job in service.store.expired(MOST_A_ROUND):
            if job.attempt:
                service.storage.delete(f"images/{job.id}/")
            service.store.forget(job)
    except StorageError as error:
        logger.warning("expired jobs are kept until storage answers: %s", error)
    finally:
        one_at_a_time.release()
