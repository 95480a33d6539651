"""One round of everything that brings a job back."""

from __future__ import annotations

from tasks.jobs.images import settle_uploads
from tasks.service import Service
from tasks.upkeep.housekeeping import end_late, resend_lost, send_unsent, take_back_lapsed


def housekeeping(service: Service) -> None:
    """One round of each loop, in turn."""
    for stage in (take_back_lapsed, end_late, send_unsent, resend_lost, settle_uploads):
        stage(service)
