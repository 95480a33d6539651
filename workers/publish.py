"""Third stage of a job: encode its pictures and put them into storage. On the job's own thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from storage import S3Storage, StorageError, StoredObject
from tasks.errors import StorageFault
from tasks.jobs.images import attempt_prefix, manifest_key
from tasks.jobs.job import Job
from tasks.jobs.manifest import Manifest
from tasks.jobs.result import StoredImage
from workers.activity import Move
from workers.draw import Picture
from workers.encode import ENCODINGS, encode
from workers.patience import Patience

Put = Callable[[str, bytes, str], StoredObject]
"""Stores a body of a content type under a key."""


def publish(
    storage: S3Storage,
    job: Job,
    pictures: tuple[Picture, ...],
    manifest: Manifest,
    patience: Patience,
    *,
    move: Move = lambda: None,
) -> tuple[StoredImage, ...]:
    """Put the pictures of a job and its manifest into storage; a flagged picture is reported and not stored.

    Args:
        move: called before each object.

    Raises:
        StorageFault: storage refuses an image, or was unavailable for too long.
    """

    def put(key: str, body: bytes, content_type: str) -> StoredObject:
        move()
        return patience.insist(partial(storage.put, key, body, content_type=content_type))

    try:
        if not all(picture.flagged for picture in pictures):
            put(manifest_key(job.lease), manifest.model_dump_json(indent=2).encode(), "application/json")
        return tuple(publish_one(put, job, number, picture, manifest) for number, picture in enumerate(pictures))
    except StorageError as error:
        raise StorageFault("The images could not be stored. Submit the job again later.") from error


def publish_one(put: Put, job: Job, number: int, picture: Picture, manifest: Manifest) -> StoredImage:
    """Encode and store one picture."""
    width, height = picture.image.size
    if picture.flagged:
        return StoredImage(key=None, width=width, height=height, bytes=0, sha256=None, seed=picture.seed, flagged=True)
    encoding = ENCODINGS[job.spec.image_format]
    body = encode(picture.image, manifest.of_picture(picture.seed))
    key = f"{attempt_prefix(job.lease)}{number}.{encoding.suffix}"
    stored = put(key, body, encoding.content_type)
    return StoredImage(
        key=stored.key, width=width, height=height, bytes=stored.bytes, sha256=stored.sha256, seed=picture.seed
    )
