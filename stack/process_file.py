"""A file that names a process, and that the system keeps locked for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MAX_DIGITS = 10
"""Of the number of a process."""


class ProcessFileLocked(Exception):
    """The process that the file names, or a child of that, lives."""


@dataclass(frozen=True)
class ProcessFile:
    """A pid file that never names a foreign process.

    The process inherits the file open and locked, and so do its children. The lock ends with the last of them,
    however that ends. A locked file therefore names a process of ours, never one that got the same number later.
    """

    path: Path

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Lock the file while the block runs, and beyond it in every process that inherited the descriptor.

        Raises:
            ProcessFileLocked: it is locked.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Return whether the process that it names, or a child of that, lives."""
        try:
            with self.locked():
                return False
        except ProcessFileLocked:
            return True

    def write(self, pid: int) -> None:
        """Name the process, in one write over the old content, so that no reader finds half a number."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{pid:<{MAX_DIGITS}}\n".encode("ascii"))
        finally:
            os.close(descriptor)

    def read(self) -> int | None:
        """Return the number of the process that is, or was, named.

        None where there is no file, or where it names no process yet: it is locked first, and written a moment later.
        """
        try:
            text = self.path.read_text("ascii")
        except FileNotFoundError:
            return None
        return int(text) if text else None

    def remove(self) -> None:
        """Forget the process."""
        self.path.unlink(missing_ok=True)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ProcessFileLocked from error
