"""What the keys of objects in storage begin with."""

from __future__ import annotations

IMAGES = "images/"
"""Images, and nothing else: with a public bucket, everybody may read them who knows their keys."""
MANIFESTS = "manifests/"
"""What made the images, and for which job."""
