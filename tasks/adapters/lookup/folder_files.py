"""The files in an adapter folder and in the folders inside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path

from tasks.adapters.file.sidecar import PICKLE_SUFFIXES
from tasks.adapters.lookup.folder_names import SUFFIX

logger = logging.getLogger(__name__)

ENDINGS = (SUFFIX, *PICKLE_SUFFIXES)
MAX_DEPTH = 8
"""Folders inside one another that are looked into."""


@dataclass(frozen=True)
class FolderFile:
    """A file of an adapter folder.

    Attributes:
        below: its path below the folder, with slashes.
    """

    folder: Path
    below: str

    @cached_property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / self.below

    @property
    def is_there(self) -> bool:
        """Return whether there is such a file."""
        return self.path.is_file()

    @property
    def is_utf8(self) -> bool:
        """Return whether its name can be shown and recorded."""
        return not any("\ud800" <= character <= "\udfff" for character in self.below)

    def is_inside(self, folders: Sequence[Path]) -> bool:
        """Return whether it lies in one of these folders when every link is followed."""
        real = self.path.resolve()
        return any(real.is_relative_to(folder.resolve()) for folder in folders)


def files_of(folder: Path) -> Iterator[FolderFile]:
    """Yield every file that is an adapter by its ending. What is hidden is not looked at, nor is a link to a folder."""
    return (FolderFile(folder, below) for below in paths_below(str(folder), "", MAX_DEPTH))


def paths_below(folder: str, prefix: str, depth: int) -> Iterator[str]:
    """Yield the paths of such files, this many folders deep. The log names a folder that cannot be read.

    Args:
        prefix: of the path of each file in the folder.
    """
    try:
        with os.scandir(folder) as entries:
            visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=attrgetter("name"))
    except OSError as error:
        logger.error("adapter folder %s cannot be read, its adapters are missing: %s", folder, error)
        return
    for entry in visible:
        if entry.is_dir(follow_symlinks=False):
            if depth:
                yield from paths_below(entry.path, f"{prefix}{entry.name}/", depth - 1)
        elif entry.name.lower().endswith(ENDINGS) and (entry.is_symlink() or entry.is_file()):
            yield f"{prefix}{entry.name}"
