"""Addresses of adapters: any file on the web, or a key in storage: ``https://...``, ``s3://bucket/key``.

``#sha256=<64 hexadecimal digits>`` behind one pins its content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from tasks.adapters.file.reference import MAX_REFERENCE_CHARACTERS, SHOWN, is_hub_page
from tasks.errors import InvalidRequest

SCHEMES = frozenset({"https", "http", "s3"})
S3 = "s3://"
SUFFIX = ".safetensors"
DEFAULT_NAME = "adapter.safetensors"

_SHA256 = re.compile(r"sha256=([0-9a-fA-F]{64})")
_S3_KEY = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\x00-\x1f\x7f]+\.safetensors")


@dataclass(frozen=True)
class FileAddress:
    """Where the file of an adapter is.

    Attributes:
        url: without what pins its content.
        sha256: of the content, if the client pins it.
    """

    url: str
    sha256: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that ``text`` spells.

        Raises:
            InvalidRequest: it is too long, is no key of an adapter, or pins something else than a SHA-256.
        """
        url, hash_sign, pin = text.partition("#")
        pinned = _SHA256.fullmatch(pin)
        if hash_sign and pinned is None:
            raise InvalidRequest("After # an address may have sha256= and 64 hexadecimal digits, and nothing else.")
        if len(text) > MAX_REFERENCE_CHARACTERS:
            raise InvalidRequest(f"An address may have at most {MAX_REFERENCE_CHARACTERS} characters.")
        if url.startswith(S3) and _S3_KEY.fullmatch(url) is None:
            raise InvalidRequest(f"{text[:SHOWN]!r} is not the address of a file whose name ends in {SUFFIX}.")
        return cls(url, pinned[1].lower() if pinned else None)

    def __str__(self) -> str:
        return self.url if self.sha256 is None else f"{self.url}#sha256={self.sha256}"

    @property
    def is_s3(self) -> bool:
        """Return whether it is a key in storage."""
        return self.url.startswith(S3)

    @property
    def weight_name(self) -> str:
        """The name of its file; an address of a download need not have one."""
        name = unquote(urlsplit(self.url).path).rpartition("/")[2]
        return name if name.endswith(SUFFIX) and name.isprintable() else DEFAULT_NAME


def is_address(text: str) -> bool:
    """Return whether a client wrote an address, and not a reference to the Hub or the catalogue."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text and not is_hub_page(text)
