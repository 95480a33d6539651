"""A bound on the disk space that the Hub's adapters take."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import scan_cache_dir
from huggingface_hub.file_download import repo_folder_name

logger = logging.getLogger(__name__)

IN_USE_S = 600
"""A file that was used in the last ten minutes may be in use, also by another worker of this machine: it stays."""

MARK = ".stokehold-adapter"
"""In the cache's folder of a repository: that it is an adapter, and not the base model of another program."""


@dataclass(frozen=True, order=True)
class CachedAdapter:
    """A version of an adapter on disk, ordered by the time when it was last used, in seconds since 1970."""

    used: float
    bytes: int
    commit: str


@dataclass(frozen=True)
class DiskCache:
    """Adapters in the Hub client's own cache, within a bound that only a burst of files in use may break.

    Attributes:
        folder: the cache. Others may use it too: what does not have our mark is neither counted nor removed.
        max_bytes: the bound.
        clock: seconds since 1970.
    """

    folder: Path
    max_bytes: int
    clock: Callable[[], float] = time.time

    def note_use(self, repository: str, path: Path) -> None:
        """Note that a file of an adapter is used now. Most file systems do not write down when a file is read."""
        (self.folder / repo_folder_name(repo_id=repository, repo_type="model") / MARK).touch()
        os.utime(path, (self.clock(), path.stat().st_mtime))

    def make_room(self) -> None:
        """Remove the least recently used adapters until the bound is kept."""
        found = scan_cache_dir(self.folder)
        ours = [
            CachedAdapter(
                max((file.blob_last_accessed for file in revision.files), default=0.0),
                revision.size_on_disk,
                revision.commit_hash,
            )
            for repository in found.repos
            if (repository.repo_path / MARK).exists()
            for revision in repository.revisions
        ]
        doomed = too_many(ours, self.max_bytes, used_before=self.clock() - IN_USE_S)
        if doomed:
            found.delete_revisions(*doomed).execute()
            logger.info("removed %d adapters from disk that were not used for the longest time", len(doomed))


def too_many(adapters: Iterable[CachedAdapter], max_bytes: int, used_before: float) -> list[str]:
    """The commits to remove so that the rest takes at most this many bytes, least recently used first."""
    oldest_first = sorted(adapters)
    left = sum(adapter.bytes for adapter in oldest_first)
    doomed = []
    for adapter in oldest_first:
        if left <= max_bytes or adapter.used >= used_before:
            break
        doomed.append(adapter.commit)
        left -= adapter.bytes
    return doomed
