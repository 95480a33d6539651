"""The comparison of a replay's images with those that it draws again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.Image import DecompressionBombError

from storage import ObjectNotFound, Storage, StorageError
from tasks.errors import JobNotFound
from tasks.jobs.job import Job
from tasks.jobs.manifest import Manifest, differences, manifest_of
from tasks.jobs.result import ImageDifference, ReplayReport, StoredImage
from tasks.jobs.store import JobStore
from workers.stages.publish import StorageRetry

logger = logging.getLogger(__name__)


def compare(then: bytes, now: bytes) -> ImageDifference:
    """Return the difference between two encoded images, pixel by pixel in 8-bit RGB; their metadata does not count.

    Images of different sizes differ by all that a pixel can.
    """
    before, after = pixels(then), pixels(now)
    if before.shape != after.shape:
        return ImageDifference(largest=255, mean=255.0)
    distance = np.abs(before.astype(np.int16) - after.astype(np.int16))
    return ImageDifference(largest=int(distance.max()), mean=round(float(distance.mean()), 6))


def pixels(body: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The pixels of an encoded image: [height, width, 3]."""
    with Image.open(BytesIO(body)) as image:
        return np.asarray(image.convert("RGB"))


EXPIRED = "The first job has expired."


GONE = "An image of the first job is missing."


AWAY = "Storage did not return the images for the comparison. Replay the job again."


UNREADABLE = "An image in storage can no longer be decoded."


HELD_BACK = "The safety checker withheld every image, so none is stored."


@dataclass(frozen=True)
class ReplayComparison:
    """Compares jobs with those that they draw again."""

    store: JobStore
    storage: Storage

    def report(
        self, first_id: str, images: tuple[StoredImage, ...], manifest: Manifest, storage_retry: StorageRetry
    ) -> ReplayReport:
        """Compare the images of the job ``first_id`` with ``images``, which draw them again.

        It is not an error if the first job was removed: the images are drawn, with nothing to compare them with.

        Raises:
            WorkerStopping, LeaseLost: as ``Attempt.pause`` does, while storage is waited for.
            ValkeyUnavailable: it is unknown whether the first job was removed.
        """
        try:
            first = self.store.get(first_id)
        except JobNotFound:
            return ReplayReport(of=first_id, identical=None, reason=EXPIRED)
        then = manifest_of(first)
        report = comparison(lambda key: storage_retry.call(partial(self.storage.get, key)), first, images)
        return report.model_copy(update={"differs": () if then is None else differences(then, manifest)})


def comparison(get: Callable[[str], bytes], first: Job, images: tuple[StoredImage, ...]) -> ReplayReport:
    """Compare the first job's images with these.

    Args:
        get: fetches an object from storage.
    """
    pairs = [pair for pair in zip(first.result.images, images, strict=True) if not all(one.flagged for one in pair)]
    if not pairs:
        return ReplayReport(of=first.id, identical=None, reason=HELD_BACK)
    try:
        found = tuple(difference(get, then, now) for then, now in zip(first.result.images, images, strict=True))
    except StorageError as error:  # its address and keys are for the operator
        logger.warning("job %s cannot be compared with: %s", first.id, error)
        return ReplayReport(of=first.id, identical=None, reason=GONE if isinstance(error, ObjectNotFound) else AWAY)
    except (OSError, SyntaxError, ValueError, DecompressionBombError) as error:
        logger.warning("an image of the replay of job %s cannot be decoded: %s", first.id, error)
        return ReplayReport(of=first.id, identical=None, reason=UNREADABLE)
    shown_alike = all(then.flagged == now.flagged for then, now in pairs)
    identical = shown_alike and not any(one.largest for one in found if one is not None)
    return ReplayReport(of=first.id, identical=identical, images=found)


def difference(get: Callable[[str], bytes], then: StoredImage, now: StoredImage) -> ImageDifference | None:
    """Return the difference of two images; None where one was withheld, and so is not stored.

    Raises:
        StorageError: one cannot be read.
        OSError, SyntaxError, ValueError, DecompressionBombError: one cannot be decoded.
    """
    if then.key is None or now.key is None:
        return None
    return compare(get(then.key), get(now.key))
