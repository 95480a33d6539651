"""Print the request that draws an image again, from the image alone: ``stokehold replay image.png``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.ExifTags import Base
from pydantic import ValidationError

from tasks.adapters.file.address import FileAddress
from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.adapters.file.reference import AdapterReference
from tasks.errors import InvalidRequest, RecordNotUnderstood, StokeholdError
from tasks.fields import read as read_stored
from tasks.jobs.job import JobSpec
from tasks.jobs.manifest import METADATA_KEY, Manifest
from tasks.requests.job import JobRequest


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the body of a ``POST /v1/jobs``.

    Raises:
        SystemExit: the image has no manifest.
    """
    parser = argparse.ArgumentParser(prog="stokehold replay", description=__doc__)
    parser.add_argument("image", help="a file, or - for the standard input")
    parser.add_argument("--manifest", action="store_true", help="print everything that the image says instead")
    options = parser.parse_args(arguments)
    try:
        manifest = read_manifest(read(options.image))
        shown = manifest.model_dump(mode="json") if options.manifest else request_of(manifest.spec)
    except StokeholdError as error:
        sys.exit(f"stokehold: {error}")
    sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")


def read(name: str) -> bytes:
    """The content of a file.

    Raises:
        InvalidRequest: it cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{name} cannot be read: {error.strerror}.") from error


def read_manifest(body: bytes) -> Manifest:
    """Return the manifest inside an image.

    Raises:
        InvalidRequest: it is not an image, or not one of Stokehold's.
    """
    try:
        with Image.open(BytesIO(body), formats=("PNG", "JPEG", "WEBP")) as image:
            text = image.info.get(METADATA_KEY) or image.getexif().get(Base.ImageDescription)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidRequest("This is not a readable image. Give a PNG, JPEG or WebP file.") from error
    try:
        return read_stored(Manifest, text or "", "The manifest")
    except RecordNotUnderstood:
        raise InvalidRequest(
            "The image does not say what made it: it was not made by Stokehold, or another program has saved it since."
        ) from None


def request_of(spec: JobSpec) -> dict[str, Any]:
    """The request that asks for a specification, with nothing left open.

    Raises:
        InvalidRequest: no request may ask for it.
    """
    adapters = [{"ref": reference(scaled.adapter), "scale": scaled.scale} for scaled in spec.adapters]
    fields = spec.model_dump(mode="json", exclude={"adapters", "image_count"}, exclude_none=True)
    request = {**fields, "images": spec.image_count, "adapters": adapters}
    try:
        JobRequest.model_validate(request)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise InvalidRequest(f"The image's request is not valid: {where}: {problem['msg']}.") from error
    return request


def reference(adapter: ResolvedAdapter) -> str:
    """The reference that leads to an adapter's file; to the same version where the reference can say it."""
    if adapter.source is AdapterSource.HUB:
        return str(AdapterReference(adapter.repository, adapter.commit, adapter.weight_name))
    if adapter.source is AdapterSource.ADDRESS:
        return str(FileAddress(adapter.repository, adapter.sha256))
    return adapter.repository


if __name__ == "__main__":
    main()
