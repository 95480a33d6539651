"""Encode a picture for storage, with what made it inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import Any

from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from tasks.image_format import ImageFormat
from tasks.job import JobSpec

METADATA_KEY = "stokehold"
"""The PNG text chunk that holds the ``JobSpec`` of the one picture as JSON."""


@dataclass(frozen=True)
class Encoding:
    """How a format is named, and written by Pillow."""

    suffix: str
    content_type: str
    options: Mapping[str, Any]


ENCODINGS: Mapping[ImageFormat, Encoding] = MappingProxyType(
    {
        ImageFormat.PNG: Encoding("png", ImageFormat.PNG.content_type, MappingProxyType({"compress_level": 4})),
        ImageFormat.JPEG: Encoding("jpg", ImageFormat.JPEG.content_type, MappingProxyType({"quality": 95})),
        ImageFormat.WEBP: Encoding("webp", ImageFormat.WEBP.content_type, MappingProxyType({"quality": 95})),
    }
)


def encode(image: Image, spec: JobSpec, seed: int) -> bytes:
    """Encode a picture. A PNG carries the specification of a job that draws just this picture again."""
    options = dict(ENCODINGS[spec.image_format].options)
    if spec.image_format is ImageFormat.PNG:
        options["pnginfo"] = png_metadata(spec, seed)
    buffer = BytesIO()
    image.save(buffer, format=spec.image_format.name, **options)
    return buffer.getvalue()


def png_metadata(spec: JobSpec, seed: int) -> PngInfo:
    """The text chunk of one picture of a job."""
    alone = spec.model_copy(update={"seed": seed, "image_count": 1})
    info = PngInfo()
    info.add_itxt(METADATA_KEY, alone.model_dump_json())
    return info
