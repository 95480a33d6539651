"""Makes the observations of a history from the API's responses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from stack.history.event import SeenAdapter, SeenBatch, SeenDelivery, SeenImage, SeenJob, SeenLine

Json = Mapping[str, Any]

KEY = re.compile(r", number (\S+)$")
"""The form in which the prompt of a job carries its idempotency key, so that a list of jobs shows a second job."""


def prompt_with(key: str) -> str:
    """A prompt that carries a key."""
    return f"a red circle on a blue background, number {key}"


def seen_job(record: Json) -> SeenJob:
    """A job as its record shows it."""
    key = KEY.search(record["prompt"])
    return SeenJob(
        id=record["id"],
        status=record["status"],
        attempt=record["attempt"],
        images=seen_images(record["images"]),
        error=record["error"] and record["error"]["code"],
        key=key and key[1],
    )


def seen_images(images: Sequence[Json]) -> tuple[SeenImage, ...]:
    """Images as a record shows them."""
    return tuple(SeenImage(sha256=image["sha256"] or "", size_bytes=image["bytes"]) for image in images)


def seen_batch(record: Json) -> SeenBatch:
    """A batch as its record shows it."""
    return SeenBatch(id=record["id"], status=record["status"], **record["counts"])


def seen_line(result: Json) -> SeenLine:
    """The result of a line."""
    return SeenLine(
        line=result["line"],
        custom_id=result["custom_id"],
        status=result["status"],
        images=seen_images(result["images"]),
        error=result["error"] and result["error"]["code"],
    )


def seen_adapter(record: Json) -> SeenAdapter:
    """An entry of the catalogue."""
    return SeenAdapter(name=record["name"], sha256=record["sha256"])


def seen_delivery(record: Json) -> SeenDelivery:
    """A line of the log of deliveries."""
    return SeenDelivery(id=record["id"], about=record["job"] or record["batch"], status=record["status"])


def seen_file(content: bytes) -> SeenImage:
    """The bytes of an image or of an adapter's file."""
    return SeenImage(sha256=sha256(content).hexdigest(), size_bytes=len(content))
