"""Images of attempts in storage: noted before the first upload, settled when the attempt is over.

The step with which a job succeeds settles its attempt (``tasks/jobs/transition.lua``); every other is settled here. A
worker that is killed cannot clean up behind itself, and storage that is unavailable cannot be cleaned. So the note
outlives both, and the light worker settles the attempts that a worker did not.

    stokehold:unsettled_images   set   `<job>/<attempt>-<claim>` of attempts that have begun to upload
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from storage import Storage, StorageError
from tasks.errors import JobNotFound
from tasks.jobs.index import JobIndex
from tasks.jobs.job import Lease, Status
from tasks.jobs.keyspace import UNSETTLED_IMAGES
from tasks.jobs.store import JobStore
from tasks.loops.loop import BUDGET_S, within
from tasks.loops.quarantine import Quarantine
from tasks.objects.keys import IMAGES, MANIFESTS

logger = logging.getLogger(__name__)


def attempt_prefix(lease: Lease) -> str:
    """Return the folder of the images of one attempt. Each has its own, so that none can spoil another's."""
    return f"{IMAGES}{lease.job_id}/{lease.token}/"


def manifest_key(lease: Lease) -> str:
    """Return the key of the manifest of one attempt: not among its images, for they may be public."""
    return f"{MANIFESTS}{lease.job_id}/{lease.token}.json"


@dataclass(frozen=True)
class Images:
    """The images of attempts."""

    store: JobStore
    index: JobIndex
    storage: Storage
    quarantine: Quarantine

    def note(self, lease: Lease) -> None:
        """Note that this attempt is about to put images into storage.

        Raises:
            ValkeyUnavailable: it is not noted.
        """
        self.index.note_images(lease)

    def settle(self, lease: Lease) -> bool:
        """Remove the images of an attempt that has ended, unless they are the result of its job.

        Unavailable storage is not an error: the note stays, and housekeeping comes back to it.

        Returns:
            whether storage was available, if it was needed.

        Raises:
            ValkeyUnavailable: it is unknown whether the attempt is over.
        """
        status = self._status_of(lease)
        if status is Status.RUNNING:
            return True
        if status is not Status.SUCCEEDED:
            try:
                self.storage.check()  # a removal waits for a minute; this fails within seconds
                self.storage.delete(attempt_prefix(lease))
                self.storage.remove(manifest_key(lease))
            except StorageError as error:
                logger.warning(
                    "images of job %s, attempt %d, are not removed yet: %s", lease.job_id, lease.attempt, error
                )
                self.note(lease)  # housekeeping may have settled it already, while its worker was frozen
                return False
        self.index.forget_images(lease)
        return True

    def settle_all(self) -> None:
        """Settle attempts that began to upload and have ended, if storage is available: a loop of the light worker."""
        for member in within(BUDGET_S, self.index.unsettled_images()):
            self.quarantine.attempt(UNSETTLED_IMAGES, member, partial(self._settle_noted, member))

    def _settle_noted(self, member: str) -> None:
        """Settle one noted attempt.

        Raises:
            StorageError: storage is unavailable, or refuses to remove the images of this attempt.
        """
        job_id, _, token = member.rpartition("/")
        attempt, _, claim = token.partition("-")
        if not self.settle(Lease(job_id=job_id, attempt=int(attempt), claim=claim)):
            self.storage.check()
            raise StorageError(f"Storage does not remove the images of attempt {member}.")

    def _status_of(self, lease: Lease) -> Status | None:
        """Return the status of the job if it still is this attempt's, else None."""
        try:
            job = self.store.get(lease.job_id)
        except JobNotFound:
            return None
        return job.status if job.lease == lease else None
