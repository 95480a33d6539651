"""The beginnings of the keys of objects in storage."""

from __future__ import annotations

IMAGES = "images/"
"""Images, and nothing else: with a public bucket, all clients that know their keys can read them."""
MANIFESTS = "manifests/"
"""Manifests: what made the images, and for which job."""
