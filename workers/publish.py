"""Third stage of a job: encode its pictures and put them into storage. Runs without the pipeline's lock."""

from __future__ import annotations

from storage import S3Storage, StorageError
from tasks.errors import PublishFailed
from tasks.job import Job, StoredImage
from tasks.settings import ImageFormat
from workers.draw import Picture
from workers.encode import ENCODINGS, encode


def attempt_prefix(job: Job) -> str:
    """Where the images of one attempt lie. Another attempt has its own place, so neither can spoil the other's."""
    return f"images/{job.id}/{job.attempt}/"


def publish(
    storage: S3Storage, image_format: ImageFormat, job: Job, pictures: tuple[Picture, ...]
) -> tuple[StoredImage, ...]:
    """Put the pictures of a job into storage; a flagged one is reported and not stored.

    Raises:
        PublishFailed: storage did not take an image.
    """
    try:
        return tuple(
            publish_one(storage, image_format, job, number, picture) for number, picture in enumerate(pictures)
        )
    except StorageError as error:
        raise PublishFailed(f"The images could not be stored: {error} Submit the job again later.") from error


def publish_one(storage: S3Storage, image_format: ImageFormat, job: Job, number: int, picture: Picture) -> StoredImage:
    """Encode and store one picture."""
    width, height = picture.image.size
    if picture.flagged:
        return StoredImage(key=None, width=width, height=height, bytes=0, sha256=None, seed=picture.seed, flagged=True)
    encoding = ENCODINGS[image_format]
    body = encode(picture.image, image_format, job.spec, picture.seed)
    stored = storage.put(f"{attempt_prefix(job)}{number}.{encoding.suffix}", body, content_type=encoding.content_type)
    return StoredImage(
        key=stored.key, width=width, height=height, bytes=stored.bytes, sha256=stored.sha256, seed=picture.seed
    )
