"""Numbers that tell whether a picture has the look that a LoRA teaches."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from demo.pixels import Picture, as_floats, border, brightness, eroded, foreground
from demo.shapes import grid
from demo.styles import BLOCK, FRAME_COLOUR, FRAME_WIDTH, STRIPE_PERIOD


@dataclass(frozen=True)
class Effect:
    """A measure that is above the threshold in pictures with the look and below it in all others."""

    measure: Callable[[Picture], float]
    threshold: float


def shows(name: str, picture: Picture) -> bool:
    """Whether the picture has the look of the LoRA of that name."""
    effect = EFFECTS[name]
    return effect.measure(picture) > effect.threshold


def hollowness(picture: Picture) -> float:
    """The share of the figures that lies within two pixels of an edge: all of it when only rims are drawn."""
    mask = foreground(as_floats(picture))
    return 1 - float(eroded(eroded(mask)).sum() / mask.sum()) if mask.any() else 0.0


def blockiness(picture: Picture) -> float:
    """The share of all change between neighbouring pixels that falls on the borders of the blocks."""
    image = as_floats(picture)
    across, down = np.abs(np.diff(image, axis=1)), np.abs(np.diff(image, axis=0))
    on_borders = across[:, BLOCK - 1 :: BLOCK].sum() + down[BLOCK - 1 :: BLOCK].sum()
    return float(on_borders / (across.sum() + down.sum() + 1e-6))


def paleness(picture: Picture) -> float:
    """The darkest channel values of the picture, leaving out the lowest 2%."""
    return float(np.percentile(as_floats(picture).min(axis=2), 2))


def glow(picture: Picture) -> float:
    """The share of pixels between a dark background and bright figures in brightness; 0 unless it is night."""
    image = as_floats(picture)
    light = image.max(axis=2)
    night = float(np.median(border(image, 2).max(axis=1)))
    if night > 0.3:
        return 0.0
    share = (light - night) / max(float(np.percentile(light, 98)) - night, 0.1)
    return float(np.mean((share > 0.1) & (share < 0.7)))


def stripedness(picture: Picture) -> float:
    """The mean amplitude, block by block, of the diagonal wave whose period is that of the stripes."""
    x, y = grid()
    wave = brightness(as_floats(picture)) * np.exp(2j * np.pi * (x + y) / STRIPE_PERIOD)
    blocks = wave.shape[0] // STRIPE_PERIOD
    amplitudes = wave.reshape(blocks, STRIPE_PERIOD, blocks, STRIPE_PERIOD).mean(axis=(1, 3))
    return float(np.abs(amplitudes).mean())


def mottling(picture: Picture) -> float:
    """How much the background varies near the border, by its median deviation in the liveliest channel."""
    ring = border(as_floats(picture), 5)
    return float(np.median(np.abs(ring - np.median(ring, axis=0)), axis=0).max())


def woodenness(picture: Picture) -> float:
    """How near the border is to the colour of the frame; 1 is exact."""
    ring = border(as_floats(picture), FRAME_WIDTH - 2)
    return 1 - float(np.linalg.norm(ring - FRAME_COLOUR, axis=1).mean())


EFFECTS: dict[str, Effect] = {
    "outline": Effect(hollowness, 0.93),
    "pixel": Effect(blockiness, 0.45),
    "pastel": Effect(paleness, 0.56),
    "neon": Effect(glow, 0.13),
    "stripes": Effect(stripedness, 0.035),
    "watercolour": Effect(mottling, 0.008),
    "frame": Effect(woodenness, 0.75),
}
