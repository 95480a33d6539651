"""A temporary folder for each process, so that the files of a killed process are found and removed.

<temporary folder>/stokehold-<random>/    in use as long as a process holds the lock on its file `lock`
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)

PREFIX = "stokehold-"
LOCK = "lock"


@contextmanager
def own_scratch() -> Iterator[Path]:
    """Let this process and those that it starts make their temporary files in a folder of its own, and remove
    those of dead processes.

    A lock distinguishes the living from the dead, since containers that share a folder have the same process numbers.
    """
    root, before = Path(tempfile.gettempdir()), os.environ.get("TMPDIR")
    remove_abandoned(root)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    with (folder / "new").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "new").rename(folder / LOCK)  # no other process sees it before it is locked
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = None
            del os.environ["TMPDIR"]
            if before is not None:
                os.environ["TMPDIR"] = before
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(root: Path) -> None:
    """Remove the folders of this service's dead processes, and no other folders."""
    for lock in root.glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), lock.open("r+") as file:  # another one is faster, or it is another user's
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
            logger.info("removed the temporary folder %s of a process that is no more", lock.parent)
