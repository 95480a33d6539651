"""One round of everything that is removed."""

from __future__ import annotations

from tasks.service import Service
from tasks.upkeep.retention import remove_batches, remove_jobs, remove_objects


def remove_expired(service: Service) -> None:
    """One round of each loop, in turn."""
    for stage in (remove_objects, remove_batches, remove_jobs):
        stage(service)
