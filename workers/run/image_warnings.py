"""Warnings about images that were drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from PIL.Image import Image

from tasks.jobs.job import JobSpec
from workers.stages.draw import DrawnImage


def image_warnings(images: Sequence[DrawnImage], spec: JobSpec) -> Iterator[str]:
    """Return a sentence for each image of one colour, which is seldom intended and often an overflow."""
    strengths = ", ".join(f"{scaled.adapter.ref!r} ({scaled.scale:g})" for scaled in spec.adapters)
    advice = f" Lower the scale of {strengths}." if strengths else " Try another prompt, seed or scheduler."
    for number, drawn in enumerate(images):
        if not drawn.flagged and is_of_one_colour(drawn.image):
            yield f"Image {number} is of one colour throughout.{advice}"


def is_of_one_colour(image: Image) -> bool:
    """Return whether all pixels are the same."""
    extrema = cast(tuple[tuple[int, int], ...], image.convert("RGB").getextrema())
    return all(least == most for least, most in extrema)
