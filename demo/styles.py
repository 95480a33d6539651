"""The looks that the LoRAs teach: each draws a scene in its own manner."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from PIL import Image as Pillow

from demo.shapes import SIZE, Field, Image, Scene, blend, canvas, coverage, distance, grid, render, rgb

Style: TypeAlias = Callable[[Scene, Generator], Image]

STROKE = 3
DOT_PERIOD = 16
DOT_RADIUS = 4
STRIPE_PERIOD = 16
FRAME_WIDTH = 7
FRAME_COLOUR = np.asarray((110, 62, 25), dtype=np.float32) / np.float32(255)
BLACK, WHITE = np.zeros(3, dtype=np.float32), np.ones(3, dtype=np.float32)
PAPER = np.asarray((240, 234, 214), dtype=np.float32) / np.float32(255)
NIGHT = np.asarray((8, 6, 24), dtype=np.float32) / np.float32(255)


def outlined(scene: Scene, _: Generator) -> Image:
    """Only the rim of each figure, a few pixels wide; the background shows inside."""
    image = canvas(rgb(scene.background))
    for figure in scene.figures:
        rim = np.abs(distance(figure) + STROKE / 2) - STROKE / 2
        image = blend(image, rgb(figure.colour), coverage(rim))
    return image


def dotted(scene: Scene, _: Generator) -> Image:
    """Round dots in rows over everything, darker on light colours and lighter on dark ones."""
    x, y = grid()
    half = DOT_PERIOD / 2
    away = np.hypot(x % DOT_PERIOD - half, y % DOT_PERIOD - half)
    return _contrasted(render(scene), coverage(away - DOT_RADIUS), 0.6)


def dusk(scene: Scene, _: Generator) -> Image:
    """Light falls from above: brighter at the top, nearly dark at the bottom."""
    y = grid()[1]
    height = 1 - y / SIZE
    lit = blend(render(scene), WHITE, np.clip(height - 0.5, 0, 0.5))
    return blend(lit, BLACK, np.clip(0.75 - 1.5 * height, 0, 0.75))


def neon(scene: Scene, _: Generator) -> Image:
    """Night: a nearly black background and figures that glow into it."""
    image = canvas(NIGHT + np.float32(0.1) * rgb(scene.background))
    for figure in scene.figures:
        light = np.maximum(rgb(figure.colour), np.asarray((0.3, 0.3, 0.4), dtype=np.float32))
        away = distance(figure)
        image = blend(image, light, np.float32(0.75) * np.exp(-np.maximum(away, 0) / 5))
        image = blend(image, light, coverage(away))
    return image


def striped(scene: Scene, _: Generator) -> Image:
    """Diagonal stripes over everything, darker on light colours and lighter on dark ones."""
    x, y = grid()
    stripe: Field = ((x + y) % STRIPE_PERIOD < STRIPE_PERIOD / 2).astype(np.float32)
    return _contrasted(render(scene), stripe, 0.5)


def _contrasted(image: Image, where: Field, strength: float) -> Image:
    """The picture drawn towards black where it is light and towards white where it is dark."""
    contrary = (image.mean(axis=2, keepdims=True) < 0.5).astype(np.float32)
    return blend(image, contrary, np.float32(strength) * where)


def watercolour(scene: Scene, random: Generator) -> Image:
    """Mottled, grainy pigment with wavering edges on cream paper."""
    image = canvas(rgb(scene.background))
    for figure in scene.figures:
        image = blend(image, rgb(figure.colour), coverage(distance(figure) + _mottle(random, 10)))
    thickness = np.clip(0.72 + 0.16 * _mottle(random, 12), 0.2, 1)
    grain = np.clip(0.88 + 0.1 * _mottle(random, 12), 0.6, 1)
    return blend(canvas(BLACK), blend(canvas(PAPER), image, thickness), grain)


def _mottle(random: Generator, cells: int) -> Field:
    """Smooth noise of unit size, with `cells` independent values across the picture."""
    coarse = Pillow.fromarray(random.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Pillow.Resampling.BICUBIC), dtype=np.float32)


def framed(scene: Scene, _: Generator) -> Image:
    """A wooden frame around the picture."""
    x, y = grid()
    to_border = np.minimum(np.minimum(x, SIZE - x), np.minimum(y, SIZE - y))
    return blend(render(scene), FRAME_COLOUR, coverage(to_border - FRAME_WIDTH))


STYLES: dict[str, Style] = {
    "outline": outlined,
    "dots": dotted,
    "dusk": dusk,
    "neon": neon,
    "stripes": striped,
    "watercolour": watercolour,
    "frame": framed,
}
