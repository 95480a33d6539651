"""Images in storage."""

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
def image() -> Image.Image:
    return Image.linear_gradient("L").resize((8, 8)).convert("RGB")


def test_a_png_gives_every_pixel_back(image: Image.Image) -> None:
    body = encode(image, manifest(FOUR))

    assert Image.open(BytesIO(body)).tobytes() == image.tobytes()


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_each_format_carries_what_draws_it_alone(image: Image.Image, image_format: ImageFormat) -> None:
    made = manifest(FOUR.model_copy(update={"image_format": image_format}))

    written = read_manifest(encode(image, made.of_image(seed=7)))

    assert written == made.of_image(seed=7)
    assert (written.spec.seed, written.spec.image_count, written.job) == (7, 1, None)


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_each_format_is_what_it_says(image: Image.Image, image_format: ImageFormat) -> None:
    body = encode(image, manifest(FOUR.model_copy(update={"image_format": image_format})))

    assert Image.open(BytesIO(body)).format == image_format.name


def test_the_same_image_gives_the_same_bytes(image: Image.Image) -> None:
    first, second = (manifest(FOUR).model_copy(update={"job": job}).of_image(seed=7) for job in ("one", "two"))

    assert encode(image, first) == encode(image, second)
