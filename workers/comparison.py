"""How far two pictures are from one another."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from tasks.jobs.result import PictureDifference


def compare(then: bytes, now: bytes) -> PictureDifference:
    """The difference between two encoded pictures, pixel by pixel in 8-bit RGB; their metadata does not count.

    Pictures of different sizes differ by all that a pixel can.
    """
    before, after = pixels(then), pixels(now)
    if before.shape != after.shape:
        return PictureDifference(largest=255, mean=255.0)
    distance = np.abs(before.astype(np.int16) - after.astype(np.int16))
    return PictureDifference(largest=int(distance.max()), mean=round(float(distance.mean()), 6))


def pixels(body: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The pixels of an encoded picture: [height, width, 3]."""
    with Image.open(BytesIO(body)) as image:
        return np.asarray(image.convert("RGB"))
