"""Names of what the job store keeps that more than one module reads; ``tasks/job_store.py`` lists them all."""

from __future__ import annotations

from tasks.job import Status

DEADLINES = "stokehold:deadlines"
FINISHED = "stokehold:finished"
CANCELED = "stokehold:canceled"


def list_key(owner: str | None, status: Status | None = None) -> str:
    """An owner's jobs: all, or those of one status."""
    return f"stokehold:jobs:{owner or ''}" + (f":{status}" if status else "")


def groups_key(slug: str) -> str:
    """The groups of a base model's backfill lane that have queued jobs."""
    return f"stokehold:backfill:{slug}"


def group_key(slug: str, owner: str | None, adapters: str) -> str:
    """The queued backfill jobs of an owner that want the same adapters.

    Args:
        adapters: a digest of these adapters and their scales.
    """
    return f"stokehold:backfill:{slug}:{owner or ''}:{adapters}"


def pace_key(slug: str) -> str:
    """The measured seconds of a job of a base model."""
    return f"stokehold:pace:{slug}"
