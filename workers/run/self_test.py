"""The self test of a worker: draw an image that it knows, keep a file on its disk, and store an object."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from PIL.Image import Image

from storage import Storage, StorageError, StorageNotReachable
from tasks.base_models.registry import ServedModel
from tasks.errors import SelfTestFailed
from tasks.fields import ImageFormat
from tasks.jobs.job import JobSpec, Progress
from workers.stages.draw import draw
from workers.stages.stopwatch import Stopwatch
from workers.swap.warm_pipeline import WarmPipeline

STEPS = 2
SAME_MEAN = 2.0
"""Of 255: how far the known image may be off. Kernels that add in another order change a last bit here and there; a
device that is broken draws noise, black, or nothing."""
PROBE_BYTES = 1 << 20


class Unwatched:
    """Follows a drawing for which no job waits."""

    def check_needed(self) -> None:
        """Raise nothing."""

    def note_waiting(self, waits: bool) -> None:
        """Nothing to note."""

    def note_drawing(self) -> None:
        """Nothing to note."""

    def report(self, progress: Progress) -> None:
        """Nothing to report."""


def known_spec(model: ServedModel) -> JobSpec:
    """Return the specification of a base model's known image: few steps of its smallest size, without adapters."""
    side = -(-model.limits.min_side // model.limits.multiple_of) * model.limits.multiple_of
    return JobSpec(
        base_model=model.slug,
        prompt="a red circle on a blue background",
        negative_prompt=None,
        adapters=(),
        width=side,
        height=side,
        steps=STEPS,
        guidance_scale=model.defaults.guidance_scale,
        scheduler=None,
        seed=0,
        image_count=1,
        image_format=ImageFormat.PNG,
    )


@dataclass(frozen=True)
class KnownImage:
    """The known image as a worker drew it when it had just started.

    Attributes:
        pixel_step_s: seconds for a step by pixel.
    """

    spec: JobSpec
    image: Image
    pixel_step_s: float

    @classmethod
    def drawn(cls, warm: WarmPipeline, model: ServedModel) -> KnownImage:
        """Draw it twice: the first drawing may have to compile, and the second must be the same.

        Raises:
            SelfTestFailed: it cannot be drawn, or not twice.
        """
        spec = known_spec(model)
        first, _ = drawing(warm, spec)
        image, seconds = drawing(warm, spec)
        known = cls(spec, image, seconds / spec.pixel_steps)
        known.require_same(first)
        return known

    def require_same(self, image: Image) -> None:
        """Compare another drawing of it.

        Raises:
            SelfTestFailed: it is another image.
        """
        then, now = (np.asarray(one.convert("RGB")).astype(np.int16) for one in (self.image, image))
        if then.shape != now.shape or float(np.abs(then - now).mean()) > SAME_MEAN:
            raise SelfTestFailed("It does not draw its test image as it did when it started.", is_of_base=True)


def drawing(warm: WarmPipeline, spec: JobSpec) -> tuple[Image, float]:
    """Draw the known image; return it, and the seconds that this took.

    Raises:
        SelfTestFailed: it cannot be drawn.
    """
    stopwatch = Stopwatch()
    try:
        (drawn,) = draw(warm, [spec], (), Unwatched(), stopwatch, first=True)
    except Exception as error:
        raise SelfTestFailed("It cannot draw its test image.", is_of_base=True) from error
    return drawn.images[0].image, stopwatch.timings.draw or 0.0


@dataclass(frozen=True)
class SelfTest:
    """The tests of a worker by itself.

    Attributes:
        cache: the folder of its adapters.
        key: of the object that it stores, and removes again.
    """

    warm: WarmPipeline
    known: KnownImage
    cache: Path
    storage: Storage
    key: str

    def __call__(self) -> None:
        """Run every test.

        Raises:
            SelfTestFailed: the worker cannot be trusted with jobs.
        """
        self.known.require_same(drawing(self.warm, self.known.spec)[0])
        self.keep_file()
        self.store_object()

    def keep_file(self) -> None:
        """Keep a file on disk, as an adapter.

        Raises:
            SelfTestFailed: the disk is full, or the folder may not be written.
        """
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self.cache, prefix=".self-test-") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SelfTestFailed("It cannot keep adapters on its disk.") from error

    def store_object(self) -> None:
        """Store an object, as an image, unless storage is temporarily unavailable.

        Raises:
            SelfTestFailed: storage refuses it.
        """
        try:
            self.storage.put(self.key, b"self-test", content_type="text/plain")
            self.storage.remove(self.key)
        except StorageNotReachable:
            return
        except StorageError as error:
            raise SelfTestFailed("Storage takes no images from it.") from error
