"""The last stage: encode the images and upload them, with retries."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from storage import Storage, StorageError, StorageMisconfigured, StorageNotReachable, StoredObject
from tasks.errors import StorageFault
from tasks.jobs.images import attempt_prefix, manifest_key
from tasks.jobs.job import Job
from tasks.jobs.manifest import Manifest
from tasks.jobs.result import StoredImage
from workers.activity import NoteProgress
from workers.stages.encode import ENCODINGS, encode

if TYPE_CHECKING:  # it imports torch, which publishing does not need
    from workers.stages.draw import DrawnImage

logger = logging.getLogger(__name__)


FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0


REFUSED_S = 15.0
"""Seconds for which a refusal of this worker's key or bucket is retried: enough for a change of policy, and no more,
since another worker may have a valid key."""


Result = TypeVar("Result")


Pause = Callable[[float], None]
"""Waits this many seconds; an exception ends the waiting for good."""


class StorageRetry:
    """Retries of storage for one job, in one of its stages.

    Args:
        seconds: largest time for all tries.
        pause: waits between two tries; raises if there is no reason to continue.
    """

    def __init__(self, seconds: float, pause: Pause, clock: Callable[[], float] = time.monotonic) -> None:
        self._begin = clock()
        self._seconds = seconds
        self._pause = pause
        self._clock = clock

    def call(self, step: Callable[[], Result]) -> Result:
        """Take a step that needs storage, repeatedly while storage is unavailable, and for a while if it refuses.

        Raises:
            StorageError: storage refuses, or is unavailable for longer than the bound.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return step()
            except (StorageNotReachable, StorageMisconfigured) as error:
                if self._clock() + pause_s > self._deadline(error):
                    raise
                logger.warning("this worker cannot use storage and tries again in %g s: %s", pause_s, error)
            self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _deadline(self, error: StorageError) -> float:
        is_refusal = isinstance(error, StorageMisconfigured)
        return self._begin + (min(self._seconds, REFUSED_S) if is_refusal else self._seconds)


Put = Callable[[str, bytes, str], StoredObject]
"""Stores a body of a content type under a key."""


def publish(
    storage: Storage,
    job: Job,
    images: tuple[DrawnImage, ...],
    manifest: Manifest,
    storage_retry: StorageRetry,
    *,
    note_progress: NoteProgress = lambda: None,
) -> tuple[StoredImage, ...]:
    """Put the images of a job and its manifest into storage; a flagged image is reported and not stored.

    Args:
        note_progress: called before each object.

    Raises:
        StorageFault: storage refuses an image, or was unavailable for too long.
    """

    def put(key: str, body: bytes, content_type: str) -> StoredObject:
        note_progress()
        return storage_retry.call(partial(storage.put, key, body, content_type=content_type))

    try:
        if not all(drawn.flagged for drawn in images):
            put(manifest_key(job.lease), manifest.model_dump_json(indent=2).encode(), "application/json")
        return tuple(publish_one(put, job, number, drawn, manifest) for number, drawn in enumerate(images))
    except StorageError as error:
        raise StorageFault("The images could not be stored. Submit the job again later.") from error


def publish_one(put: Put, job: Job, number: int, drawn: DrawnImage, manifest: Manifest) -> StoredImage:
    """Encode and store one image."""
    width, height = drawn.image.size
    if drawn.flagged:
        return StoredImage(key=None, width=width, height=height, bytes=0, sha256=None, seed=drawn.seed, flagged=True)
    encoding = ENCODINGS[job.spec.image_format]
    body = encode(drawn.image, manifest.of_image(drawn.seed))
    key = f"{attempt_prefix(job.lease)}{number}.{encoding.suffix}"
    stored = put(key, body, encoding.content_type)
    return StoredImage(
        key=stored.key, width=width, height=height, bytes=stored.bytes, sha256=stored.sha256, seed=drawn.seed
    )
