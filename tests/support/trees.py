"""Other versions of this project, exported into a folder: the one before, and one as the next may be."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

from tests.support.up import ROOT

STORED = re.compile(r'(class (\w+)\((?:Stored(?:Record)?|PinnedFile)\):\n    """(?:.|\n)*?"""\n)')
"""The beginning of a kind of value that is read back."""
FIXES_IMAGES = ("ImageSettings", "ScaledAdapter", "PinnedFile", "ResolvedAdapter")
"""Kinds whose further fields are null unless a request asks for them."""
NUMBERS = ("Measured",)
"""Kinds all of whose fields are averages."""


def previous(folder: Path) -> Path | None:
    """The version before this one; None where there is no history, or none that knows stored records."""
    told = subprocess.run(
        ["git", "show", "HEAD~1:tasks/fields.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "class StoredRecord" not in told.stdout:
        return None
    return exported("HEAD~1", folder)


def following(folder: Path) -> Path:
    """A version that has a further field in every kind of value that it stores."""
    tree = exported("HEAD", folder)
    for path in (tree / "tasks").rglob("*.py"):
        text = path.read_text("utf-8")
        path.write_text(STORED.sub(with_a_field, text), "utf-8")
    return tree


def with_a_field(found: re.Match[str]) -> str:
    """The beginning of a class, with a field that no earlier version knows."""
    if found[2] in NUMBERS:
        return found[1]
    value = "None" if found[2] in FIXES_IMAGES else '"fine"'
    return f"{found[1]}\n    weather_of_tomorrow: str | None = {value}\n"


def exported(ref: str, folder: Path) -> Path:
    """The files of a commit."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", ref], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder
