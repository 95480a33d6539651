"""The format of a picture, from what the client accepts."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import NotAcceptable

from tasks.fields import ImageFormat


def accepted_format(preferred: ImageFormat) -> ImageFormat:
    """The format that the present request likes best; ``preferred`` where it does not care.

    Raises:
        NotAcceptable: it accepts none that can be drawn (406).
    """
    formats: dict[str, ImageFormat] = {
        image_format.content_type: image_format for image_format in (preferred, *ImageFormat)
    }
    accepted = request.accept_mimetypes
    best: str | None = accepted.best_match(formats) if accepted else preferred.content_type
    if best is None:
        raise NotAcceptable(f"Pictures can be had as {', '.join(formats)}. Send one of them as Accept, or */*.")
    return formats[best]
