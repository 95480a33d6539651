"""The use of each API key, compared with its limits.

stokehold:requests:<key>    list    times of a key's latest requests, the last first
stokehold:queued:<owner>    sorted  ids of a key's queued jobs, by the time at which they were counted
stokehold:spent:<owner>     hash    day (since 1970, UTC) and pixels times steps submitted on it
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.errors import LimitExceeded, StokeholdError
from tasks.holdings import NO_LIMIT, Holdings
from tasks.jobs.job import JobSpec
from tasks.jobs.keyspace import JOB
from tasks.keys import ApiKey, ApiKeys
from tasks.valkey import Valkey

QUEUED_AGAIN_S = 5
"""Seconds after which a job may have left the queue."""
RECORDED_WITHIN_S = 60
"""Seconds, longer than any submission: a counted job without a record then never has one."""


class Quotas:
    """Counts the use of keys. Every step is atomic; a step that is refused counts nothing."""

    def __init__(self, valkey: Valkey, keys: ApiKeys) -> None:
        self._keys = keys
        self._reserve = valkey.script("client_jobs/reserve")
        self._spend = valkey.script("client_jobs/spend")
        self._release = valkey.script("client_jobs/release")
        self.holdings = Holdings(valkey)
        self._count_request = valkey.script("client_jobs/count_request")

    def count_request(self, key: ApiKey) -> None:
        """Count a request.

        Raises:
            LimitExceeded: there were too many in the last minute.
        """
        wait_s = float(
            self._count_request(keys=[f"stokehold:requests:{key.id}"], args=[key.limits.requests_per_minute])
        )
        if not wait_s:
            return
        raise LimitExceeded(
            f"This key may make {key.limits.requests_per_minute} requests per minute (requests_per_minute). "
            "Poll less often, with ?wait=30.",
            retry_after_s=math.ceil(wait_s),
        )

    @contextmanager
    def reserved(self, owner: str | None, job_id: str, spec: JobSpec) -> Iterator[None]:
        """Count a job that is recorded in this block, and refund it if the block fails.

        Raises:
            LimitExceeded: the owner has too many queued jobs, or has used its budget of the day.
        """
        if owner is None:
            yield
            return
        self._count(self._keys.get(owner), job_id, spec)
        try:
            yield
        except StokeholdError:
            self.refund(owner, job_id, spec)
            raise

    def count_upload(self, owner: str | None, upload_id: str, size_bytes: int, seconds: float) -> None:
        """Count an open upload.

        Raises:
            LimitExceeded: the owner has as many as it may, or they would take too many bytes.
        """
        self.holdings.upload(self._key(owner), upload_id, size_bytes, seconds)

    def max_stored(self, owner: str | None) -> int:
        """Bytes that the adapters of an owner may have in storage."""
        key = self._key(owner)
        return NO_LIMIT if key is None else key.limits.stored_bytes

    def max_batches(self, owner: str | None) -> int:
        """Batches of an owner that may be under way."""
        key = self._key(owner)
        return NO_LIMIT if key is None else key.limits.waiting_batches

    def _key(self, owner: str | None) -> ApiKey | None:
        return None if owner is None else self._keys.get(owner)

    def refund(self, owner: str | None, job_id: str, spec: JobSpec) -> None:
        """Refund a job that was not recorded after all; nothing happens if it was."""
        if owner is not None:
            self._release(keys=[*_keys(owner), JOB + job_id], args=[job_id, spec.pixel_steps])

    def charge_batch(self, owner: str | None, batch: str, pixel_steps: int) -> None:
        """Count the cost of a batch, once.

        Args:
            batch: key of its record.

        Raises:
            LimitExceeded: the owner has used its budget of the day.
        """
        if owner is None:
            return
        most = self._keys.get(owner).limits.pixel_steps_per_day
        answer = self._spend(keys=[_keys(owner)[1], batch], args=[pixel_steps, most])
        if answer != "ok":
            raise LimitExceeded(
                f"This key may submit {most} pixels times steps per day (pixel_steps_per_day), and this batch's "
                f"{pixel_steps} exceed what is left. Send fewer lines, or wait until the next day (UTC).",
                retry_after_s=int(answer),
            )

    def _count(self, key: ApiKey, job_id: str, spec: JobSpec) -> None:
        limits = key.limits
        answer = self._reserve(
            keys=_keys(key.id),
            args=[
                *(job_id, limits.queued_jobs, spec.pixel_steps, limits.pixel_steps_per_day),
                *(JOB, RECORDED_WITHIN_S),
            ],
        )
        if answer == "queued":
            raise LimitExceeded(
                f"This key may have {limits.queued_jobs} queued jobs (queued_jobs). Wait until one has begun.",
                retry_after_s=QUEUED_AGAIN_S,
            )
        if answer != "ok":
            raise LimitExceeded(
                f"This key may submit {limits.pixel_steps_per_day} pixels times steps per day (pixel_steps_per_day), "
                f"and this job's {spec.pixel_steps} exceed what is left. Request less, or wait until the next "
                "day (UTC).",
                retry_after_s=int(answer),
            )


def _keys(owner: str) -> list[str]:
    return [f"stokehold:queued:{owner}", f"stokehold:spent:{owner}"]
