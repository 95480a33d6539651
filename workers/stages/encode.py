"""Encode an image for storage, with its manifest inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import Any

from PIL.ExifTags import Base
from PIL.Image import Exif, Image
from PIL.PngImagePlugin import PngInfo

from tasks.fields import ImageFormat
from tasks.jobs.manifest import METADATA_KEY, Manifest


@dataclass(frozen=True)
class Encoding:
    """Name and Pillow options of a format."""

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


def encode(image: Image, manifest: Manifest) -> bytes:
    """Encode an image in the format that its manifest asks for, with this manifest inside."""
    image_format = manifest.spec.image_format
    options = dict(ENCODINGS[image_format].options)
    if image_format is ImageFormat.PNG:
        options["pnginfo"] = png_metadata(manifest)
    else:
        options["exif"] = exif(manifest)
    buffer = BytesIO()
    image.save(buffer, format=image_format.name, **options)
    return buffer.getvalue()


def png_metadata(manifest: Manifest) -> PngInfo:
    """The text chunk of a PNG."""
    info = PngInfo()
    info.add_itxt(METADATA_KEY, manifest.model_dump_json())
    return info


def exif(manifest: Manifest) -> Exif:
    """The description of a JPEG or WebP, which is ASCII."""
    found = Exif()
    found[Base.ImageDescription] = json.dumps(manifest.model_dump(mode="json"), ensure_ascii=True)
    return found
