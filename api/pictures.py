"""The pictures of a job that has succeeded, as an answer carries them."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.jobs.job import Job
from tasks.jobs.result import StoredImage


def unflagged(job: Job) -> Iterator[tuple[StoredImage, str]]:
    """The pictures that the safety checker has not held back, with their keys in storage."""
    for image in job.result.images:
        if image.key is not None:
            yield image, image.key
