"""Numbers that tell whether a picture has the look that a LoRA teaches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from demo.pixels import Mask, Picture, as_floats, border, brightness, components, contrast, eroded, filled
from demo.shapes import Field, grid
from demo.styles import DOT_PERIOD, DOT_RADIUS, FRAME_COLOUR, FRAME_WIDTH, STRIPE_PERIOD

Values: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Effect:
    """A measure that is above the threshold in pictures with the look and below it in all others."""

    measure: Callable[[Picture], float]
    threshold: float


def shows(name: str, picture: Picture) -> bool:
    """Return whether the image has the look of the LoRA of that name."""
    effect = EFFECTS[name]
    return effect.measure(picture) > effect.threshold


def hollowness(picture: Picture) -> float:
    """Return how much nearer to the background the inside of the figures is than their rims; 0 for plain figures."""
    differing = contrast(as_floats(picture))
    parts = components(filled(differing > 0.12), smallest=60)
    return float(np.mean([_hollowness(differing, part) for part in parts])) if parts else 0.0


def _hollowness(differing: Field, part: Mask) -> float:
    inside = eroded(eroded(eroded(part)))
    if not inside.any():
        return 0.0
    return 1 - float(np.percentile(differing[inside], 25) / np.percentile(differing[part], 85))


def dottedness(picture: Picture) -> float:
    """Return how much more the image varies between dots and their surroundings than along each, block by block."""
    x, y = grid()
    half = DOT_PERIOD / 2
    away = np.hypot(x % DOT_PERIOD - half, y % DOT_PERIOD - half)
    light = _blocks(brightness(as_floats(picture)), DOT_PERIOD)
    dot, ring = _blocks(away < DOT_RADIUS - 1, DOT_PERIOD), _blocks(away > DOT_RADIUS + 1, DOT_PERIOD)
    steps = np.abs(light.mean(axis=1, where=dot) - light.mean(axis=1, where=ring))
    return float(np.median(steps))


def _blocks(field: Values, size: int) -> Values:
    """Blocks x pixels: the field cut into squares."""
    count = field.shape[0] // size
    return field.reshape(count, size, count, size).swapaxes(1, 2).reshape(count**2, size**2)


def fall(picture: Picture) -> float:
    """Return how much brighter the image is along its top than along its bottom."""
    light = brightness(as_floats(picture))
    return float(np.median(light[1:6]) - np.median(light[-6:-1]))


def glow(picture: Picture) -> float:
    """The share of pixels between a dark background and bright figures in brightness; 0 unless it is night."""
    image = as_floats(picture)
    ring = border(image, 2)
    if np.median(ring.mean(axis=1)) > 0.25:
        return 0.0
    light, night = image.max(axis=2), float(np.median(ring.max(axis=1)))
    share = (light - night) / max(float(np.percentile(light, 98)) - night, 0.1)
    return float(np.mean((share > 0.1) & (share < 0.7)))


def stripedness(picture: Picture) -> float:
    """The amplitude of the diagonal wave whose period is that of the stripes, in all but the weakest 30% of blocks."""
    x, y = grid()
    wave = brightness(as_floats(picture)) * np.exp(2j * np.pi * (x + y) / STRIPE_PERIOD)
    return float(np.percentile(np.abs(_blocks(wave, STRIPE_PERIOD).mean(axis=1)), 30))


def woodenness(picture: Picture) -> float:
    """Return how near the border is to the colour of the frame; 1 is exact."""
    ring = border(as_floats(picture), FRAME_WIDTH - 2)
    return 1 - float(np.linalg.norm(ring - FRAME_COLOUR, axis=1).mean())


EFFECTS: dict[str, Effect] = {
    "outline": Effect(hollowness, 0.2),
    "dots": Effect(dottedness, 0.14),
    "dusk": Effect(fall, 0.15),
    "neon": Effect(glow, 0.12),
    "stripes": Effect(stripedness, 0.009),
    "frame": Effect(woodenness, 0.6),
}
