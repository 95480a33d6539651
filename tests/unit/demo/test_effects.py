"""The demo's effect measures on images that the renderer draws with each look and without."""

import numpy as np
import pytest
from PIL import Image as Pillow

from demo.effects import EFFECTS, shows
from demo.prompts import draw_example
from demo.shapes import Figure, Image, Scene, render
from demo.styles import STYLES

RED_CIRCLE = Scene("blue", (Figure("circle", "red", 32, 32, 16),))


def as_pillow(image: Image) -> Pillow.Image:
    return Pillow.fromarray(np.round(image * 255).astype(np.uint8))


def test_every_measure_belongs_to_a_look() -> None:
    assert set(EFFECTS) <= set(STYLES)


@pytest.mark.parametrize("name", EFFECTS)
def test_an_image_is_decided_rightly(name: str) -> None:
    random = np.random.default_rng(0)
    assert shows(name, as_pillow(STYLES[name](RED_CIRCLE, random)))
    assert not shows(name, as_pillow(render(RED_CIRCLE)))


@pytest.mark.parametrize("name", EFFECTS)
def test_the_threshold_separates_random_scenes(name: str) -> None:
    random = np.random.default_rng(1)
    for _ in range(60):
        scene = draw_example(random).scene
        assert shows(name, STYLES[name](scene, random))
        assert not shows(name, render(scene))
