"""The file formats of pictures."""

from __future__ import annotations

from enum import StrEnum


class ImageFormat(StrEnum):
    """How a picture is encoded."""

    PNG = "png"
    """Without loss, and with what made it inside."""
    JPEG = "jpeg"
    WEBP = "webp"

    @property
    def content_type(self) -> str:
        """Its name in HTTP."""
        return f"image/{self}"
