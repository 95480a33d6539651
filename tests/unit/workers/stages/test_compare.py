"""The difference of two images."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tasks.jobs.result import ImageDifference
from workers.stages.compare import compare

PIXELS = arrays(np.uint8, (4, 4, 3))


def png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@given(PIXELS)
def test_an_image_is_identical_to_itself(pixels: np.ndarray) -> None:
    assert compare(png(pixels), png(pixels)) == ImageDifference(largest=0, mean=0)


@given(PIXELS, PIXELS)
def test_the_difference_is_the_same_both_ways_and_bounded(first: np.ndarray, second: np.ndarray) -> None:
    found = compare(png(first), png(second))

    assert found == compare(png(second), png(first))
    assert 0 <= found.mean <= found.largest <= 255


@given(PIXELS, st.integers(0, 3), st.integers(0, 3), st.integers(0, 2))
def test_one_step_in_one_place_is_seen(pixels: np.ndarray, row: int, column: int, channel: int) -> None:
    other = pixels.copy()
    other[row, column, channel] ^= 1

    found = compare(png(pixels), png(other))

    assert found.largest == 1
    assert found.mean > 0


def test_another_size_is_as_far_as_can_be() -> None:
    assert compare(png(np.zeros((4, 4, 3), np.uint8)), png(np.zeros((4, 8, 3), np.uint8))).largest == 255
