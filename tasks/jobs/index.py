"""The indexes of jobs: those that are due, their order, and their numbers."""

from __future__ import annotations

from typing import cast

from tasks.jobs.job import Job, Lane, Lease, Measured, Status
from tasks.jobs.keyspace import (
    DEADLINES,
    FINISHED,
    JOB,
    LANE_OFFSET_S,
    LEASES,
    UNSENT,
    UNSETTLED_IMAGES,
    lane_keys,
    list_key,
    pace_key,
    waiting_key,
)
from tasks.valkey import Valkey

MAX_REWOUND = 1000
"""Times that one look corrects after a clock was set back."""
OWNERS_COUNTED = 200
"""Owners that are counted for a position, which bounds the cost of each poll of a queued job."""


class JobIndex:
    """Reads the indexes that the job store keeps; ``tasks/jobs/store.py`` lists them.

    Args:
        retention_s: seconds that a finished job is kept.
    """

    def __init__(self, valkey: Valkey, *, retention_s: int) -> None:
        self._valkey = valkey
        self._retention_s = retention_s
        self._position = valkey.script("jobs/position")
        self._rewind = valkey.script("jobs/rewind")

    def expired(self, count: int) -> list[str]:
        """Ids of jobs that have been finished for longer than they are kept, the ``count`` oldest."""
        return self._until(FINISHED, self._valkey.now() - self._retention_s, count)

    def lapsed(self, count: int) -> list[str]:
        """Ids of running jobs whose worker gave no sign of life for the length of a lease, the ``count`` oldest.

        A server's clock that was set back makes no lease longer than it was given.
        """
        self._rewind(keys=[LEASES], args=[JOB, "lease_s", MAX_REWOUND])
        return self._until(LEASES, self._valkey.now(), count)

    def late(self, count: int) -> list[str]:
        """Ids of jobs that have not begun and whose deadline has passed, the ``count`` oldest."""
        return self._until(DEADLINES, self._valkey.now(), count)

    def unsent(self, older_than_s: float, count: int) -> list[str]:
        """Ids of queued jobs of at least this age whose message is not known to be sent, the ``count`` oldest."""
        self._rewind(keys=[UNSENT], args=[JOB, "", MAX_REWOUND])
        return self._until(UNSENT, self._valkey.now() - older_than_s, count)

    def first(self, slug: str, count: int) -> list[str]:
        """Ids of the first queued jobs of a base model. Interactive jobs come before those of the backfill lane."""
        return cast(list[str], self._valkey.zrange(waiting_key(slug), 0, count - 1)) if count > 0 else []

    def remove_entry(self, index: str, job_id: str) -> None:
        """Remove a job that does not exist from an index."""
        self._valkey.zrem(index, job_id)

    def newest(self, owner: str | None, status: Status | None, behind: str | None, count: int) -> list[str]:
        """Names in lists of an owner's jobs, at most ``count``, the newest first.

        Args:
            status: only jobs of this status; None means all.
            behind: name of a job; only older ones.
        """
        first = "+" if behind is None else f"({behind}"
        key = list_key(owner, status)
        return cast(list[str], self._valkey.zrange(key, first, "-", desc=True, bylex=True, offset=0, num=count))

    def failed(self, owner: str | None, begin: int, count: int) -> list[str]:
        """Ids of an owner's failed jobs, at most ``count``, the oldest first, without the first ``begin``."""
        names = cast(list[str], self._valkey.zrange(list_key(owner, Status.FAILED), begin, begin + count - 1))
        return [id_in(name) for name in names]

    def finished(self, since: float | None, begin: int, count: int) -> list[str]:
        """Ids of jobs in the order of their ends, at most ``count``, without the first ``begin``.

        Args:
            since: in seconds since 1970; only those that have ended then or later.
        """
        first = "-inf" if since is None else since
        return cast(list[str], self._valkey.zrangebyscore(FINISHED, first, "+inf", start=begin, num=count))

    def note_images(self, lease: Lease) -> None:
        """Note that an attempt is about to put images into storage."""
        self._valkey.sadd(UNSETTLED_IMAGES, _attempt(lease))

    def forget_images(self, lease: Lease) -> None:
        """Note that the images of an attempt are settled."""
        self._valkey.srem(UNSETTLED_IMAGES, _attempt(lease))

    def unsettled_images(self) -> set[str]:
        """Attempts whose images are not settled, as `<job>/<attempt>-<claim>`."""
        return cast(set[str], self._valkey.smembers(UNSETTLED_IMAGES))

    def _until(self, index: str, when: float, count: int) -> list[str]:
        return cast(list[str], self._valkey.zrangebyscore(index, "-inf", when, start=0, num=count))

    def position(self, job: Job) -> int | None:
        """Return the number of queued jobs that are drawn before it, if no other comes; None once it has begun.

        Of the owners whose turns come first ``OWNERS_COUNTED`` are counted, and any further ones by their average.
        Backfill jobs count in the order of their creation, whatever order a worker finds best.
        """
        slug = job.spec.base_model
        if job.lane is Lane.BACKFILL:
            return cast(int | None, self._valkey.zrank(waiting_key(slug), job.id))
        lines, _, weights, line = lane_keys(slug, job.options.owner)
        return cast(int | None, self._position(keys=[lines, weights, line], args=[job.id, OWNERS_COUNTED]))

    def waiting(self, slug: str) -> int:
        """Return the number of queued jobs of a base model."""
        return self._valkey.zcard(waiting_key(slug))

    def waiting_for_message(self, slug: str) -> int:
        """Return the number of those that are interactive: a worker learns of these by a message."""
        return self._valkey.zcount(waiting_key(slug), "-inf", LANE_OFFSET_S[Lane.BACKFILL])

    def measured(self, slug: str) -> Measured:
        """Return the average seconds of the latest jobs of a base model."""
        names = tuple(Measured.model_fields)
        seconds = cast(list[str | None], self._valkey.hmget(pace_key(slug), names))
        return Measured.model_validate(dict(zip(names, seconds, strict=True)))


def name_of(job: Job) -> str:
    """The name of a job in lists: they are sorted by it, and so by the age of jobs."""
    return f"{job.created_at.timestamp():.6f}:{job.id}"


def id_in(name: str) -> str:
    """The id of the job that has this name in lists."""
    return name.partition(":")[2]


def _attempt(lease: Lease) -> str:
    return f"{lease.job_id}/{lease.token}"
