"""Temporary folders for files that do not fit into memory. What a process leaves behind when it is killed is found."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)

PREFIX = "stokehold-work-"
YOUNG_S = 60
"""A folder is locked within a moment of being made; a younger one may belong to a process that is just making it."""


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder that is gone when the block is left. It is locked as long as this process lives."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, locked(Path(name)):
        yield Path(name)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder while the block runs.

    Raises:
        BlockingIOError: a living process has it locked.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove_abandoned(parent: Path | None = None, young_s: float = YOUNG_S) -> None:
    """Remove the folders of processes that are dead."""
    for folder in (parent or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        with suppress(BlockingIOError, FileNotFoundError, PermissionError):
            if time.time() - folder.stat().st_mtime < young_s:
                continue
            with locked(folder):
                shutil.rmtree(folder)
                logger.warning("the folder %s of a process that was killed is removed", folder)
