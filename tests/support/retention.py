"""One round of everything that is removed."""

from __future__ import annotations

from tasks.service import Service


def remove_expired(service: Service) -> None:
    """One round of each loop, in turn."""
    service.retention.remove_objects()
    service.retention.remove_batches()
    service.retention.remove_jobs()
