"""From a resolved adapter to its parsed tensors in this machine's memory."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from storage import Storage
from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.adapters.file.version import file_sha256
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.errors import AdapterLoadFailed, ValkeyUnavailable
from workers.activity import Follower
from workers.adapters.addressed import AddressedDownloads
from workers.adapters.cache import LoadedAdapter
from workers.adapters.disk_cache import DiskCache
from workers.adapters.fetch import fetch, fetch_from_folder
from workers.adapters.hub_download import DownloadBounds
from workers.adapters.reader import AdapterReader
from workers.adapters.stored import cached_repository
from workers.adapters.transport import ReadingFailure
from workers.adapters.unreadable import UnreadableFiles
from workers.swap.parsed_adapter import ParsedAdapter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdapterLoader:
    """Fetches and parses adapters for one base model.

    Attributes:
        max_bytes: the largest file that is downloaded or read.
        bounds: how long a download may take.
    """

    folders: AdapterFolders
    storage: Storage
    addressed: AddressedDownloads
    disk: DiskCache
    reader: AdapterReader
    unreadable: UnreadableFiles
    max_bytes: int
    bounds: DownloadBounds

    def __call__(self, adapter: ResolvedAdapter, follower: Follower) -> LoadedAdapter:
        """Fetch an adapter's file, make room for it on disk, and parse it.

        Raises:
            AdapterFetchFailed: the file is gone, or another one.
            AdapterUnavailable: this machine cannot get or keep it.
            AdapterLoadFailed: it is broken or was made for another base model.
            LeaseLost, WorkerStopping: the follower does not want it any more.
        """
        path = fetch(
            adapter,
            self.folders,
            self.storage,
            self.addressed,
            cache_dir=self.disk.folder,
            max_bytes=self.max_bytes,
            bounds=self.bounds,
            note_progress=follower.note_progress,
        )
        follower.note_progress()
        if adapter.source is AdapterSource.FOLDER:
            sha256 = self.folders.sha256_of(path)
            parsed = self._parse(path, adapter.ref, sha256, follower)
            fetch_from_folder(adapter, self.folders, self.max_bytes)  # as above: it was not replaced meanwhile
            return LoadedAdapter(path, sha256, parsed)
        self.disk.note_use(cached_repository(adapter, path), path)
        self.disk.make_room()
        sha256 = file_sha256(path.resolve())
        return LoadedAdapter(path, sha256, self._parse(path, adapter.ref, sha256, follower))

    def _parse(self, path: Path, ref: str, sha256: str, follower: Follower) -> ParsedAdapter:
        """Have a file read, unless it is known that it cannot be.

        Raises:
            AdapterLoadFailed, AdapterUnavailable, LeaseLost, WorkerStopping: as by ``__call__``.
        """
        if (known := self._known_failure(sha256)) is not None:
            raise AdapterLoadFailed(known.sentence(ref))
        outcome = self.reader.read(path, ref, follower)
        if isinstance(outcome, ReadingFailure):
            self._note(sha256, outcome)
            raise AdapterLoadFailed(outcome.sentence(ref))
        return outcome

    def _known_failure(self, sha256: str) -> ReadingFailure | None:
        try:
            return self.unreadable.failure(sha256)
        except ValkeyUnavailable as error:
            logger.warning("whether a file can be read is not known: %s", error)
            return None

    def _note(self, sha256: str, failure: ReadingFailure) -> None:
        if not failure.is_of_file:
            return
        logger.error("reading the file with SHA-256 %s %s; it is not read again by this version", sha256, failure)
        try:
            self.unreadable.note(sha256, failure)
        except ValkeyUnavailable as error:
            logger.warning("that a file cannot be read is not noted: %s", error)
