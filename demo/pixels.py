"""Pixels of an image, as the classifier and the measures of effects use them."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from demo.shapes import Field, Image

Picture: TypeAlias = Pillow.Image | Image
"""A Pillow image, or floats from 0 to 1."""
Mask: TypeAlias = NDArray[np.bool_]


def as_floats(picture: Picture) -> Image:
    """The picture as height x width x 3 floats from 0 to 1."""
    if isinstance(picture, Pillow.Image):
        return np.asarray(picture.convert("RGB"), dtype=np.float32) / np.float32(255)
    return picture


def border(image: Image, width: int) -> Image:
    """Pixels x 3: those less than `width` pixels from the picture's edge."""
    inner = np.zeros(image.shape[:2], dtype=bool)
    inner[width:-width, width:-width] = True
    return image[~inner]


def contrast(image: Image) -> Field:
    """Return the distance of each pixel from the median colour of the image's border."""
    background = np.median(border(image, 2), axis=0)
    return np.asarray(np.linalg.norm(image - background, axis=2))


def foreground(image: Image) -> Mask:
    """Return the mask of the pixels that differ clearly from the border."""
    return np.asarray(contrast(image) > 0.2)


def filled(mask: Mask) -> Mask:
    """The mask with its holes: all that cannot be reached from the picture's corner around it."""
    labels = _spread_labels(np.pad(~mask, 1, constant_values=True))
    return np.asarray((labels != labels[0, 0])[1:-1, 1:-1])


def eroded(mask: Mask) -> Mask:
    """The pixels of the mask whose eight neighbours all belong to it."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    windows = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.asarray(np.logical_and.reduce(windows))


def components(mask: Mask, smallest: int) -> list[Mask]:
    """The connected parts of a mask that have at least `smallest` pixels, from left to right."""
    labels = _spread_labels(mask)
    parts = [labels == label for label in np.unique(labels[mask])]
    return sorted((part for part in parts if part.sum() >= smallest), key=centre_x)


def centre_x(mask: Mask) -> float:
    """The mean x of a mask's pixels."""
    return float(np.nonzero(mask)[1].mean())


def _spread_labels(mask: Mask) -> NDArray[np.int64]:
    """Each pixel of the mask labelled by the greatest index in its connected part; 0 elsewhere.

    A label is the place of a pixel of the same part, whose own label is no smaller: each round takes that one, so that
    labels travel far in few rounds.
    """
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        padded = np.pad(labels, 1)
        near = np.maximum.reduce([labels, padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
        spread = np.where(mask, labels.ravel()[near - 1], 0)
        if np.array_equal(spread, labels):
            return labels
        labels = spread


def brightness(image: Image) -> Field:
    """The mean of the three channels."""
    return np.asarray(image.mean(axis=2))
