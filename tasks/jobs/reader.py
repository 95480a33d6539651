"""The present state of jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import cast

from tasks.errors import JobNotFound
from tasks.identifiers import MAX_CHARACTERS, is_identifier
from tasks.jobs.hash import job_of, known_jobs
from tasks.jobs.job import Job
from tasks.jobs.keyspace import channel_of, job_key
from tasks.valkey import Valkey, valkey_errors


class JobReader:
    """Reads jobs."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    def get(self, job_id: str) -> Job:
        """Return the job as it is now.

        Raises:
            JobNotFound: there is none, or it has expired.
            RecordNotUnderstood: a newer version wrote it.
        """
        fields = cast(dict[str, str], self._valkey.hgetall(job_key(job_id))) if is_identifier(job_id) else {}
        if not fields:
            raise no_job(job_id)
        return job_of(job_id, fields)

    def existing(self, ids: Iterable[str]) -> list[Job]:
        """The jobs of these ids, in their order, without those that are gone or of a newer version."""
        wanted = list(ids)
        with self._valkey.pipeline(transaction=False) as pipeline:
            for job_id in wanted:
                pipeline.hgetall(job_key(job_id))
            hashes = pipeline.execute()
        return known_jobs(dict(zip(wanted, hashes, strict=True)))

    def wait(self, job_id: str, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> Job:
        """Return the job as soon as its status has changed, or after the time to wait.

        Raises:
            JobNotFound: there is none.
        """
        deadline = clock() + timeout_s
        subscription = self._valkey.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        with valkey_errors(), closing(subscription) as changes:
            changes.subscribe(channel_of(job_id))
            changes.get_message(ignore_subscribe_messages=False, timeout=timeout_s)  # subscribed: no change goes unseen
            job = self.get(job_id)
            while not job.status.is_terminal and (left := deadline - clock()) > 0:
                if changes.get_message(timeout=left) is not None:
                    return self.get(job_id)
        return job


def no_job(job_id: str) -> JobNotFound:
    """Return the error for an id without a job, or for a text that is not an id."""
    return JobNotFound(f"There is no job {job_id[:MAX_CHARACTERS]!r}. It may have expired. Submit it again.")
