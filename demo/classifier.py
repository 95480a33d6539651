"""Reads a picture of the base model back into words, by plain comparison of pixels."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image as Pillow

from demo.pixels import Mask, Picture, as_floats, border, components, eroded, foreground
from demo.shapes import COLOURS, SHAPES, SIZE, Field, Figure, Image, coverage, distance, rgb

TEMPLATE_SIZE = 24
SMALLEST_FIGURE = 40


@dataclass(frozen=True)
class Sighting:
    """One figure found in a picture; its centre in pixels."""

    shape: str
    colour: str
    x: float
    y: float


@dataclass(frozen=True)
class Reading:
    """The content of an image: its background's colour and its figures from left to right."""

    background: str
    figures: tuple[Sighting, ...]


def read(picture: Picture) -> Reading:
    """The background and the figures of a picture."""
    image = as_floats(picture)
    background = nearest_colour(np.median(border(image, 2), axis=0))
    parts = components(foreground(image), SMALLEST_FIGURE)
    return Reading(background, tuple(_sight(image, part) for part in parts))


def nearest_colour(colour: Image) -> str:
    """The name of the palette's colour that is nearest to three floats."""
    return min(COLOURS, key=lambda name: float(np.linalg.norm(rgb(name) - colour)))


def _sight(image: Image, part: Mask) -> Sighting:
    core = eroded(part)
    colour = nearest_colour(np.median(image[core if core.any() else part], axis=0))
    rows, columns = np.nonzero(part)
    return Sighting(_nearest_shape(part), colour, float(columns.mean()), float(rows.mean()))


def _nearest_shape(part: Mask) -> str:
    seen = _normalised(part.astype(np.float32))
    return min(SHAPES, key=lambda shape: float(np.square(seen - _template(shape)).mean()))


@cache
def _template(shape: str) -> Field:
    return _normalised(coverage(distance(Figure(shape, "black", SIZE / 2, SIZE / 2, 20))))


def _normalised(shares: Field) -> Field:
    """The figure cut out along its bounding box and stretched to one common size."""
    rows, columns = np.nonzero(shares > 0.5)
    cut = shares[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    stretched = Pillow.fromarray(cut).resize((TEMPLATE_SIZE, TEMPLATE_SIZE), Pillow.Resampling.BILINEAR)
    return np.asarray(stretched, dtype=np.float32)
