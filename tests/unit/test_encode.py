"""Pictures in storage."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from tasks.image_format import ImageFormat
from tasks.job import JobSpec
from tests.support.jobs import SPEC
from workers.encode import METADATA_KEY, encode

FOUR = SPEC.model_copy(update={"prompt": "Ein rotes Rädchen, 赤い丸", "seed": 5, "image_count": 4})


@pytest.fixture
def picture() -> Image.Image:
    return Image.linear_gradient("L").resize((8, 8)).convert("RGB")


def test_a_png_gives_every_pixel_back(picture: Image.Image) -> None:
    body = encode(picture, FOUR, seed=7)

    assert Image.open(BytesIO(body)).tobytes() == picture.tobytes()


def test_a_png_carries_the_job_that_draws_it_alone(picture: Image.Image) -> None:
    body = encode(picture, FOUR, seed=7)

    text = Image.open(BytesIO(body)).text[METADATA_KEY]  # type: ignore[attr-defined]
    assert JobSpec.model_validate_json(text) == FOUR.model_copy(update={"seed": 7, "image_count": 1})


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_each_format_is_what_it_says(picture: Image.Image, image_format: ImageFormat) -> None:
    body = encode(picture, FOUR.model_copy(update={"image_format": image_format}), seed=7)

    assert Image.open(BytesIO(body)).format == image_format.name


def test_the_same_picture_gives_the_same_bytes(picture: Image.Image) -> None:
    assert encode(picture, FOUR, seed=7) == encode(picture, FOUR, seed=7)
