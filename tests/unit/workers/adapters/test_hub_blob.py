"""A file in the Hub client's cache is checked against the name of its blob."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from workers.adapters.hub_download import is_damaged

CONTENT = b"what is up, doc?"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT = "bd9dbf5aae1a3862dd1526723246b20206e5fc37"
"""The digest of this content in the Pro Git book, "Git Objects"."""


def linked(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    link = folder / "lora.safetensors"
    link.symlink_to(folder / name)
    return link


@pytest.mark.parametrize("name", [SHA256, GIT], ids=["sha256", "git"])
def test_content_that_is_not_what_the_name_says_is_damaged(tmp_path: Path, name: str) -> None:
    assert not is_damaged(linked(tmp_path, name, CONTENT))

    (tmp_path / name).write_bytes(CONTENT.replace(b"doc", b"dot"))

    assert is_damaged(tmp_path / "lora.safetensors")


def test_a_file_that_is_no_link_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "lora.safetensors").write_bytes(CONTENT)

    assert not is_damaged(tmp_path / "lora.safetensors")
