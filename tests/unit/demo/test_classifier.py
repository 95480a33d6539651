"""The demo's classifier on exact images."""

import numpy as np
import pytest
from PIL import Image as Pillow

from demo.classifier import read
from demo.pixels import components
from demo.prompts import draw_example
from demo.shapes import COLOURS, SHAPES, SIZE, Figure, Scene, render


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_reads_every_shape_in_every_colour(shape: str, colour: str) -> None:
    background = "white" if colour != "white" else "black"
    reading = read(render(Scene(background, (Figure(shape, colour, 30, 34, 13),))))
    assert reading.background == background
    assert [(figure.shape, figure.colour) for figure in reading.figures] == [(shape, colour)]
    assert (reading.figures[0].x, reading.figures[0].y) == pytest.approx((30, 34), abs=3)


def test_reads_random_scenes() -> None:
    random = np.random.default_rng(5)
    for _ in range(100):
        scene = draw_example(random).scene
        reading = read(render(scene))
        wanted = [(figure.shape, figure.colour) for figure in scene.figures]
        assert reading.background == scene.background
        assert [(figure.shape, figure.colour) for figure in reading.figures] == wanted


def test_reads_through_a_little_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 0.03, (SIZE, SIZE, 3))
    image = np.clip(render(Scene("gray", (Figure("star", "yellow", 32, 32, 15),))) + noise, 0, 1)
    (figure,) = read(Pillow.fromarray(np.uint8(image * 255))).figures
    assert (figure.shape, figure.colour) == ("star", "yellow")


def test_an_empty_image_has_no_figures() -> None:
    reading = read(render(Scene("green", ())))
    assert (reading.background, reading.figures) == ("green", ())


def test_components_come_from_left_to_right_without_the_small_ones() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[0:3, 5:8] = mask[5:8, 0:3] = mask[4, 4] = True
    left, right = components(mask, smallest=2)
    assert left[6, 1]
    assert right[1, 6]
