"""A worker in a thread of the test: it takes the jobs of a service as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from threading import Event, Thread

from PIL import Image

from tasks.jobs.job import Job
from tasks.jobs.result import Failure, Result, StoredImage, Timings
from tasks.service import Service

WORKER = "drawing-thread"
LOOK_EVERY_S = 0.005

Work = Callable[[str], None]
"""Takes a job by its id to its end."""


@contextmanager
def drawing(service: Service, work: Work) -> Iterator[None]:
    """Do ``work`` on every job of every base model until the end of ``with``."""

    def look() -> None:
        for model in service.base_models:
            for job_id in service.valkey.zrange(f"stokehold:waiting:{model.slug}", 0, -1):
                work(str(job_id))

    with repeating(look):
        yield


@contextmanager
def repeating(step: Callable[[], None]) -> Iterator[None]:
    """Take a step again and again until the end of ``with``."""
    stopping = Event()

    def run() -> None:
        while not stopping.wait(LOOK_EVERY_S):
            step()

    thread = Thread(target=run, name=WORKER)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def coloured(service: Service, *, flagged: frozenset[int] = frozenset()) -> Work:
    """Draws each image of a job in one colour, which the seed gives; those with these numbers are held back."""

    def work(job_id: str) -> None:
        job = service.store.claim(job_id, WORKER)
        assert job is not None
        images = tuple(stored(service, job, number, number in flagged) for number in range(job.spec.image_count))
        service.store.succeed(job, Result(images=images), Timings(queued=0.1, draw=0.25))

    return work


def failing(service: Service, failure: Failure) -> Work:
    """Ends each job with this failure."""

    def work(job_id: str) -> None:
        job = service.store.claim(job_id, WORKER)
        assert job is not None
        service.store.fail(job, failure)

    return work


def canceling(service: Service) -> Work:
    """Cancels each job."""

    def work(job_id: str) -> None:
        service.store.cancel(job_id)

    return work


def stored(service: Service, job: Job, number: int, flagged: bool) -> StoredImage:
    """An image as a worker leaves it behind."""
    spec, seed = job.spec, job.spec.seed + number
    image = partial(StoredImage, width=spec.width, height=spec.height, seed=seed)
    if flagged:
        return image(key=None, bytes=0, sha256=None, flagged=True)
    buffer = BytesIO()
    Image.new("RGB", (spec.width, spec.height), (seed % 256, 0, 0)).save(buffer, spec.image_format.name)
    key, content_type = f"images/{job.id}/1/{number}", spec.image_format.content_type
    kept = service.storage.put(key, buffer.getvalue(), content_type=content_type)
    return image(key=kept.key, bytes=kept.bytes, sha256=kept.sha256)
