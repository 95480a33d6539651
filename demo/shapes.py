"""Scenes of coloured shapes and their exact pictures: the world that the demo model learns to draw."""

from dataclasses import dataclass
from functools import cache
from math import cos, pi, sin
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.float32]
"""Height x width x 3, red-green-blue, from 0 to 1."""
Field: TypeAlias = NDArray[np.float32]
"""Height x width, one number for each pixel."""

SIZE = 64

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 40),
    "orange": (250, 130, 20),
    "yellow": (250, 220, 40),
    "green": (40, 160, 70),
    "blue": (40, 80, 220),
    "purple": (140, 50, 170),
    "white": (255, 255, 255),
    "gray": (128, 128, 128),
    "black": (10, 10, 10),
}
COLOURS = tuple(PALETTE)
SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond")


@dataclass(frozen=True)
class Figure:
    """One shape of one colour; centre and radius in pixels, y grows downwards."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """Figures on a background of one colour; later figures lie over earlier ones."""

    background: str
    figures: tuple[Figure, ...]


def rgb(colour: str) -> Image:
    """The colour of that name as three floats from 0 to 1."""
    return np.asarray(PALETTE[colour], dtype=np.float32) / np.float32(255)


@cache
def outline(shape: str) -> NDArray[np.float32]:
    """Corners x 2: the polygon of a shape of radius 1 around the origin. A circle has no corners."""
    corners = {
        "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        "triangle": [(0.0, -1.05), (1.0, 0.8), (-1.0, 0.8)],
        "star": [_on_circle(point, 1.15 if point % 2 == 0 else 0.45) for point in range(10)],
        "cross": [
            (-0.34, -1.0), (0.34, -1.0), (0.34, -0.34), (1.0, -0.34), (1.0, 0.34), (0.34, 0.34),
            (0.34, 1.0), (-0.34, 1.0), (-0.34, 0.34), (-1.0, 0.34), (-1.0, -0.34), (-0.34, -0.34),
        ],
        "diamond": [(0.0, -1.15), (0.8, 0.0), (0.0, 1.15), (-0.8, 0.0)],
    }  # fmt: skip
    return np.asarray(corners[shape], dtype=np.float32)


def _on_circle(point: int, radius: float) -> tuple[float, float]:
    angle = point * pi / 5
    return radius * sin(angle), -radius * cos(angle)


def grid() -> tuple[Field, Field]:
    """The x and y coordinates of all pixel centres."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + np.float32(0.5)
    return x, y


def distance(figure: Figure) -> Field:
    """Signed distance in pixels from each pixel's centre to the figure's edge; negative inside."""
    x, y = grid()
    x, y = (x - figure.x) / figure.radius, (y - figure.y) / figure.radius
    unit = np.hypot(x, y) - 1 if figure.shape == "circle" else _polygon_distance(outline(figure.shape), x, y)
    return np.asarray(unit * figure.radius, dtype=np.float32)


def _polygon_distance(corners: NDArray[np.float32], x: Field, y: Field) -> Field:
    """Signed distance to a polygon: the nearest edge gives the size, crossings of a ray give the sign."""
    nearest = np.full(x.shape, np.inf, dtype=np.float32)
    inside = np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge_x, edge_y = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * edge_x + (y - y0) * edge_y) / (edge_x**2 + edge_y**2), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - x0 - along * edge_x, y - y0 - along * edge_y))
        if edge_y:
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * edge_x / edge_y)
    return np.where(inside, -nearest, nearest)


def coverage(distances: Field) -> Field:
    """The share of each pixel that lies inside, from signed distances: antialiasing one pixel wide."""
    return np.asarray(np.clip(0.5 - distances, 0, 1), dtype=np.float32)


def blend(below: Image, above: Image, share: Field) -> Image:
    """The picture `below` with `above` (a picture or one colour) over it, by `share` at each pixel."""
    return below + (above - below) * share[..., None]


def canvas(colour: Image) -> Image:
    """A whole picture of one colour."""
    return np.broadcast_to(colour, (SIZE, SIZE, 3)).astype(np.float32)


def render(scene: Scene) -> Image:
    """The exact picture of a scene."""
    image = canvas(rgb(scene.background))
    for figure in scene.figures:
        image = blend(image, rgb(figure.colour), coverage(distance(figure)))
    return image
