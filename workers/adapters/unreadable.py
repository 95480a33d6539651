"""Files that hung or crashed their reader, so that no worker reads them again before its code is another.

stokehold:unreadable    sorted set    <SHA-256>:<version of the reader>:<failure>, by when it was noted
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

from tasks.valkey import Valkey
from workers.adapters.transport import ReadingFailure
from workers.base.device import PACKAGES

UNREADABLE = "stokehold:unreadable"
KEEP_S = 30 * 86_400
MAX_FILES = 10_000
"""The oldest are forgotten first."""
ROOMS = ("adapters", "swap")
"""Where the reader's code lies."""


class UnreadableFiles:
    """What is known of files that must not be read."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    def failure(self, sha256: str) -> ReadingFailure | None:
        """Return how the reading of a file has ended before; None if it may be read.

        Raises:
            ValkeyUnavailable: Valkey does not answer.
        """
        failures = [failure for failure in ReadingFailure if failure.is_of_file]
        names = [member(sha256, failure) for failure in failures]
        noted = self._valkey.zmscore(UNREADABLE, names)
        oldest = self._valkey.now() - KEEP_S
        return next(
            (failure for failure, at in zip(failures, noted, strict=True) if at is not None and at > oldest), None
        )

    def note(self, sha256: str, failure: ReadingFailure) -> None:
        """Let no worker of this version read the file again.

        Raises:
            ValkeyUnavailable: Valkey does not answer.
        """
        now = self._valkey.now()
        commands = self._valkey.pipeline()
        commands.zadd(UNREADABLE, {member(sha256, failure): now})
        commands.zremrangebyscore(UNREADABLE, "-inf", now - KEEP_S)
        commands.zremrangebyrank(UNREADABLE, 0, -MAX_FILES - 1)
        commands.expire(UNREADABLE, KEEP_S)
        commands.execute()


def member(sha256: str, failure: ReadingFailure) -> str:
    """Return what stands for a file that failed in this way."""
    return f"{sha256}:{reader_version()}:{failure.name.lower()}"


@cache
def reader_version() -> str:
    """A name of the code that reads files: ours, and that of the packages that it uses."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((Path(__file__).parents[1] / room).glob("*.py")):
            digest.update(path.read_bytes())
    for name in PACKAGES:
        digest.update(f"{name}={version(name)}\n".encode())
    return digest.hexdigest()[:16]
