"""The renderer and the prompt grammar of the demo."""

import numpy as np
import pytest

from demo.prompts import combinations, draw_example, is_held_out, plural
from demo.shapes import COLOURS, SHAPES, SIZE, Figure, Scene, distance, render, rgb


def one(shape: str, colour: str = "red", background: str = "blue") -> Scene:
    return Scene(background, (Figure(shape, colour, SIZE / 2, SIZE / 2, 16),))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_figure_is_drawn_in_its_colour_on_its_background(shape: str) -> None:
    image = render(one(shape))
    assert image.shape == (SIZE, SIZE, 3)
    assert np.allclose(image[SIZE // 2, SIZE // 2], rgb("red"), atol=1e-6)
    assert np.allclose(image[0, 0], rgb("blue"))


@pytest.mark.parametrize("shape", SHAPES)
def test_distance_is_negative_inside_and_grows_by_a_pixel_for_each_pixel(shape: str) -> None:
    field = distance(Figure(shape, "red", SIZE / 2, SIZE / 2, 16))
    assert field[SIZE // 2, SIZE // 2] < 0 < field[0, 0]
    assert np.abs(np.diff(field, axis=1)).max() <= 1 + 1e-4


def test_a_circle_covers_its_area() -> None:
    image = render(one("circle", "white", "black"))
    share = (image.mean() - rgb("black")[0]) / (1 - rgb("black")[0])
    assert share * SIZE**2 == pytest.approx(np.pi * 16**2, rel=0.01)


def test_later_figures_lie_over_earlier_ones() -> None:
    figures = tuple(Figure("circle", colour, SIZE / 2, SIZE / 2, 10) for colour in ("red", "green"))
    assert np.allclose(render(Scene("white", figures))[SIZE // 2, SIZE // 2], rgb("green"), atol=1e-6)


def test_the_split_keeps_every_pair_of_parts_in_training() -> None:
    seen, kept = set(combinations(held_out=False)), set(combinations(held_out=True))
    assert not seen & kept
    assert len(seen | kept) == len(SHAPES) * len(COLOURS) * (len(COLOURS) - 1)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert {(c[first], c[second]) for c in kept} <= {(c[first], c[second]) for c in seen}


@pytest.mark.parametrize("held_out", [True, False])
def test_examples_keep_to_their_side_of_the_split(held_out: bool) -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        scene = draw_example(random, held_out).scene
        for figure in scene.figures:
            assert is_held_out(figure.shape, figure.colour, scene.background) == held_out


def test_the_same_seed_draws_the_same_examples() -> None:
    first, second = (draw_example(np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_prompts_name_what_they_ask_for() -> None:
    random = np.random.default_rng(1)
    for _ in range(100):
        example = draw_example(random)
        for figure in example.scene.figures:
            assert figure.colour in example.prompt
            assert figure.shape in example.prompt or plural(figure.shape) in example.prompt


def test_plural() -> None:
    assert [plural("circle"), plural("cross")] == ["circles", "crosses"]
