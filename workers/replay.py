"""Compare the pictures of a job that was drawn again with those of the first one."""

from __future__ import annotations

from storage import StorageError
from tasks.errors import JobNotFound
from tasks.job import Job, StoredImage
from tasks.manifest import Manifest, differences, manifest_of
from tasks.replay_report import ReplayReport
from tasks.service import Service
from workers.comparison import compare


def report_of(service: Service, first_id: str, images: tuple[StoredImage, ...], manifest: Manifest) -> ReplayReport:
    """What became of the pictures of the job ``first_id``, drawn again as ``images``.

    A first job that is gone is no error: the pictures are drawn, and there is nothing to hold them against.
    """
    try:
        first = service.store.get(first_id)
        return comparison(service, first, images, manifest)
    except JobNotFound:
        return ReplayReport(of=first_id, identical=None, reason="The first job has expired.")
    except (StorageError, OSError) as error:  # Pillow's own errors for what is no picture any more are among the latter
        return ReplayReport(of=first_id, identical=None, reason=f"The first pictures cannot be read: {error}")


def comparison(service: Service, first: Job, images: tuple[StoredImage, ...], manifest: Manifest) -> ReplayReport:
    """The first job's pictures against these.

    Raises:
        StorageError: one cannot be read.
    """
    pairs = [
        (then.key, now.key)
        for then, now in zip(first.result.images, images, strict=True)
        if then.key is not None and now.key is not None
    ]
    found = tuple(compare(service.storage.get(then), service.storage.get(now)) for then, now in pairs)
    then = manifest_of(first)
    return ReplayReport(
        of=first.id,
        identical=not any(one.largest for one in found),
        images=found,
        differs=() if then is None else differences(then, manifest),
    )
