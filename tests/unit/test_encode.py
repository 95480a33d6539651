"""Pictures in storage."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from tasks.fields import ImageFormat
from tasks.replay import read_manifest
from tests.support.jobs import SPEC, manifest
from workers.stages.encode import encode

FOUR = SPEC.model_copy(update={"prompt": "Ein rotes Rädchen, 赤い丸", "seed": 5, "image_count": 4})


@pytest.fixture
def picture() -> Image.Image:
    return Image.linear_gradient("L").resize((8, 8)).convert("RGB")


def test_a_png_gives_every_pixel_back(picture: Image.Image) -> None:
    body = encode(picture, manifest(FOUR))

    assert Image.open(BytesIO(body)).tobytes() == picture.tobytes()


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_each_format_carries_what_draws_it_alone(picture: Image.Image, image_format: ImageFormat) -> None:
    made = manifest(FOUR.model_copy(update={"image_format": image_format}))

    written = read_manifest(encode(picture, made.of_picture(seed=7)))

    assert written == made.of_picture(seed=7)
    assert (written.spec.seed, written.spec.image_count, written.job) == (7, 1, None)


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_each_format_is_what_it_says(picture: Image.Image, image_format: ImageFormat) -> None:
    body = encode(picture, manifest(FOUR.model_copy(update={"image_format": image_format})))

    assert Image.open(BytesIO(body)).format == image_format.name


def test_the_same_picture_gives_the_same_bytes(picture: Image.Image) -> None:
    first, second = (manifest(FOUR).model_copy(update={"job": job}).of_picture(seed=7) for job in ("one", "two"))

    assert encode(picture, first) == encode(picture, second)
