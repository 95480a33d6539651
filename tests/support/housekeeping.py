"""One round of everything that brings a job back."""

from __future__ import annotations

from tasks.service import Service


def housekeeping(service: Service) -> None:
    """One round of each loop, in turn."""
    service.housekeeping.requeue_lapsed()
    service.housekeeping.end_late()
    service.housekeeping.send_unsent()
    service.housekeeping.resend_lost()
    service.images.settle_all()
