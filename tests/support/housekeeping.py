"""One round of everything that brings a job back."""

from __future__ import annotations

from tasks.service import Service
from tasks.upkeep.housekeeping import end_late, requeue_lapsed, resend_lost, send_unsent


def housekeeping(service: Service) -> None:
    """One round of each loop, in turn."""
    for stage in (requeue_lapsed, end_late, send_unsent, resend_lost):
        stage(service)
    service.images.settle_all()
