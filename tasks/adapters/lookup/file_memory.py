"""What was read of local files, remembered for every process of the service and for its next start.

stokehold:file:<digest>   string  what a file in one version was found to be; expires
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Protocol, cast

from cachetools import LRUCache

from tasks.adapters.file.version import Stamp, file_sha256, stamp_of
from tasks.errors import ValkeyUnavailable
from tasks.valkey import Valkey

logger = logging.getLogger(__name__)

KEEP_S = 30 * 86_400
MAX_CHARACTERS = 20_000
"""Of one value. What is longer is read again by each process."""
MAX_REMEMBERED = 8192


class FileMemory(Protocol):
    """Values by keys that name a file in one version."""

    def recall(self, keys: Sequence[str]) -> Sequence[str | None]:
        """Return what is remembered under each key."""

    def remember(self, key: str, value: str) -> None:
        """Remember a value for a while."""


class NoMemory:
    """Remembers nothing: everything is read by each process that wants it."""

    def recall(self, keys: Sequence[str]) -> Sequence[str | None]:
        """Return None for each key."""
        return [None] * len(keys)

    def remember(self, key: str, value: str) -> None:
        """Remember nothing."""


class SharedMemory:
    """Remembers in Valkey, and what Valkey has said in this process. Thread-safe.

    Without Valkey, files are read again: a worker does not wait for it.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._known: LRUCache[str, str] = LRUCache(MAX_REMEMBERED)
        self._lock = Lock()

    def recall(self, keys: Sequence[str]) -> Sequence[str | None]:
        """Return what is remembered under each key."""
        with self._lock:
            found = {key: self._known.get(key) for key in keys}
        asked = [key for key, value in found.items() if value is None]
        if asked:
            new = self._ask(asked)
            found |= new
            with self._lock:
                self._known.update(new)
        return [found[key] for key in keys]

    def remember(self, key: str, value: str) -> None:
        """Remember a value for a month."""
        if len(value) > MAX_CHARACTERS:
            return
        try:
            self._valkey.set(key, value, ex=KEEP_S)
        except ValkeyUnavailable as error:
            logger.warning("what was read of a file is not remembered: %s", error)

    def _ask(self, keys: Sequence[str]) -> dict[str, str]:
        try:
            answers = cast(list[str | None], self._valkey.mget(keys))
        except ValkeyUnavailable as error:
            logger.warning("files are read though another process may have read them: %s", error)
            return {}
        return {key: value for key, value in zip(keys, answers, strict=True) if value is not None}


@lru_cache(maxsize=16_384)
def key_of(what: str, path: str, *stamps: Stamp | None) -> str:
    """Return the key of something that depends on a file, and perhaps on its sidecar, as they are."""
    text = json.dumps([what, os.path.abspath(path), stamps])  # noqa: PTH100 (half of a list's time went into paths)
    return f"stokehold:file:{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()}"


def known_checksums(paths: Sequence[Path], memory: FileMemory) -> Sequence[str | None]:
    """Return the SHA-256 of each file, where a process has read it as it is now."""
    return memory.recall([checksum_key(path) for path in paths]) if paths else ()


def remembered_sha256(path: Path, memory: FileMemory) -> str:
    """Return the SHA-256 of a file, which is read only where no process has read it as it is now.

    Raises:
        OSError: it cannot be read.
    """
    key = checksum_key(path)
    (known,) = memory.recall([key])
    if known is not None:
        return known
    sha256 = file_sha256(path)
    if checksum_key(path) == key:
        memory.remember(key, sha256)
    return sha256


def checksum_key(path: Path) -> str:
    """Return the key of a file's SHA-256, as the file is now."""
    return key_of("sha256", str(path), stamp_if_there(path))


def stamp_if_there(path: Path) -> Stamp | None:
    """Return a file's stamp; None for one that is not there."""
    try:
        return stamp_of(path)
    except OSError:
        return None
