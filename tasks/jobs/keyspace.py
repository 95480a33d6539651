"""Names of keys of the job store that more than one module reads; ``tasks/jobs/store.py`` lists them all."""

from __future__ import annotations

from tasks.identifiers import identifier
from tasks.jobs.idempotency import Idempotency
from tasks.jobs.job import Lane, Status

JOB = "stokehold:job:"
UNSENT = "stokehold:unsent"
LEASES = "stokehold:leases"
DEADLINES = "stokehold:deadlines"
FINISHED = "stokehold:finished"
WEBHOOKS = "stokehold:webhooks"
UNSETTLED_IMAGES = "stokehold:unsettled_images"
BATCH = "batch:"
"""Prefix of the ids of batches among the webhooks that are due."""
CANCELED = "stokehold:canceled"

LANE_OFFSET_S = {Lane.INTERACTIVE: 0, Lane.BACKFILL: 10**11}
"""Seconds that are added to the time by which a waiting job is sorted, more than any clock shows: backfill jobs
are behind every interactive one, whatever their age."""


def job_key(job_id: str) -> str:
    """A job."""
    return JOB + identifier(job_id)


def waiting_key(slug: str) -> str:
    """The queued jobs of a base model."""
    return f"stokehold:waiting:{slug}"


def idempotency_key(idempotency: Idempotency) -> str:
    """The first job of an idempotency key."""
    return f"stokehold:idempotency:{idempotency.key}"


def channel_of(job_id: str) -> str:
    """The channel that announces each new status of a job."""
    return f"stokehold:changes:{identifier(job_id)}"


def list_key(owner: str | None, status: Status | None = None) -> str:
    """An owner's jobs: all, or those of one status."""
    return f"stokehold:jobs:{owner or ''}" + (f":{status}" if status else "")


def groups_key(slug: str) -> str:
    """The groups of a base model's backfill lane that have queued jobs."""
    return f"stokehold:backfill:{slug}"


def lane_keys(slug: str, owner: str | None) -> list[str]:
    """A base model's interactive lane, as ``tasks/jobs/turns.lua`` has it; last the owner's line."""
    lines = f"stokehold:interactive:{slug}"
    return [lines, f"{lines}:ends", f"{lines}:weights", f"{lines}:of:{owner or ''}"]


def group_key(slug: str, owner: str | None, adapters: str) -> str:
    """The queued backfill jobs of an owner with the same adapters.

    Args:
        adapters: a digest of these adapters and their scales.
    """
    return f"stokehold:backfill:{slug}:{owner or ''}:{adapters}"


def pace_key(slug: str) -> str:
    """The measured seconds of a base model."""
    return f"stokehold:pace:{slug}"
