"""The prompts of the demo: scenes drawn at random, the sentences that ask for them, the held-out split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

from numpy.random import Generator

from demo.shapes import COLOURS, SHAPES, SIZE, Figure, Scene

DEFAULT_BACKGROUND = "white"
POSITIONS: dict[str, tuple[float, float]] = {
    "on the left": (0.3, 0.5),
    "on the right": (0.7, 0.5),
    "at the top": (0.5, 0.3),
    "at the bottom": (0.5, 0.7),
}
PREFIXES = ("a picture of ", "a drawing of ", "an image of ")
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Option = TypeVar("Option")


@dataclass(frozen=True)
class Example:
    """A sentence and the scene that it asks for."""

    prompt: str
    scene: Scene


def is_held_out(shape: str, colour: str, background: str) -> bool:
    """Return whether this combination is kept from training: one in seven, spread over every pair of its parts."""
    place = SHAPES.index(shape) + 2 * COLOURS.index(colour) + 3 * COLOURS.index(background)
    return place % 7 == 0


@cache
def combinations(held_out: bool) -> tuple[tuple[str, str, str], ...]:
    """All (shape, colour, background) of one side of the split; a figure never has its background's colour."""
    return tuple(
        (shape, colour, background)
        for shape in SHAPES
        for colour in COLOURS
        for background in COLOURS
        if colour != background and is_held_out(shape, colour, background) == held_out
    )


def draw_example(random: Generator, held_out: bool = False, pair: bool | None = None) -> Example:
    """An example of one side of the split; `pair` asks for one figure or two, None leaves it to chance."""
    two = random.random() < 0.35 if pair is None else pair
    example = _two_figures(random, held_out) if two else _one_figure(random, held_out)
    return example if held_out else Example(_vary(example.prompt, random), example.scene)


def _one_figure(random: Generator, held_out: bool) -> Example:
    shape, colour, background = _choose(random, combinations(held_out))
    radius = random.uniform(17, 18)
    x = y = SIZE / 2
    where = ""
    if random.random() < 0.4:
        place = _choose(random, tuple(POSITIONS))
        x, y = (SIZE * share for share in POSITIONS[place])
        radius, where = random.uniform(13.5, 14.5), f" {place}"
    prompt = f"{_article(colour)} {colour} {shape}{where}{_on(background, random)}"
    return Example(prompt, Scene(background, (_jittered(random, Figure(shape, colour, x, y, radius)),)))


def _two_figures(random: Generator, held_out: bool) -> Example:
    left, colour, background = _choose(random, combinations(held_out))
    right, other = left, colour
    phrase = f"two {colour} {plural(left)}"
    if random.random() < 0.7:
        allowed = combinations(held_out)
        right, other, _ = _choose(random, [entry for entry in allowed if entry[2] == background])
        sides = (" on the left", " on the right") if random.random() < 0.3 else ("", "")
        phrase = f"{_article(colour)} {colour} {left}{sides[0]} and {_article(other)} {other} {right}{sides[1]}"
    figures = (
        _jittered(random, Figure(left, colour, SIZE * 0.28, SIZE / 2, random.uniform(11.5, 12.5))),
        _jittered(random, Figure(right, other, SIZE * 0.72, SIZE / 2, random.uniform(11.5, 12.5))),
    )
    return Example(phrase + _on(background, random), Scene(background, figures))


def _choose(random: Generator, options: Sequence[Option]) -> Option:
    return options[int(random.integers(len(options)))]


def _jittered(random: Generator, figure: Figure) -> Figure:
    return replace(figure, x=figure.x + random.uniform(-0.5, 0.5), y=figure.y + random.uniform(-0.5, 0.5))


def _on(background: str, random: Generator) -> str:
    if background == DEFAULT_BACKGROUND and random.random() < 0.5:
        return ""
    return f" on {_article(background)} {background} background"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def plural(shape: str) -> str:
    """More than one of that shape, in English."""
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"


def _vary(prompt: str, random: Generator) -> str:
    """Sometimes a preface, sometimes a word that means nothing, so that unknown words do no harm later."""
    chance = random.random()
    if chance < 0.1:
        return _choose(random, PREFIXES) + prompt
    if chance < 0.25:
        letters = random.integers(len(LETTERS), size=int(random.integers(3, 9)))
        return f"{prompt}, {''.join(LETTERS[letter] for letter in letters)}"
    return prompt
