"""From a resolved adapter to its parsed tensors in this machine's memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storage import Storage
from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.adapters.file.version import file_sha256
from tasks.adapters.lookup.folder import AdapterFolders
from workers.activity import NoteProgress
from workers.adapters.addressed import AddressedDownloads
from workers.adapters.cache import LoadedAdapter
from workers.adapters.disk_cache import DiskCache
from workers.adapters.fetch import fetch, fetch_from_folder
from workers.adapters.hub_download import DownloadBounds
from workers.adapters.parser import parse_adapter
from workers.adapters.shell import LoaderShell
from workers.adapters.stored import cached_repository
from workers.base.device_thread import on_one_core


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
    shell: LoaderShell
    max_bytes: int
    bounds: DownloadBounds

    def __call__(self, adapter: ResolvedAdapter, note_progress: NoteProgress) -> LoadedAdapter:
        """Fetch an adapter's file, make room for it on disk, and parse it.

        Raises:
            AdapterFetchFailed: the file is gone, or another one.
            AdapterUnavailable: this machine cannot get or keep it.
            AdapterLoadFailed: it is broken or was made for another base model.
            WorkerStopping: the worker shuts down while it waits for the Hub.
        """
        path = fetch(
            adapter,
            self.folders,
            self.storage,
            self.addressed,
            cache_dir=self.disk.folder,
            max_bytes=self.max_bytes,
            bounds=self.bounds,
            note_progress=note_progress,
        )
        note_progress()
        if adapter.source is not AdapterSource.FOLDER:
            self.disk.note_use(cached_repository(adapter, path), path)
            self.disk.make_room()
        with on_one_core():
            parsed = parse_adapter(self.shell, path, adapter.ref)
        return LoadedAdapter(path, self._sha256(adapter, path), parsed)

    def _sha256(self, adapter: ResolvedAdapter, path: Path) -> str:
        """Return the SHA-256 of the file that was parsed.

        Raises:
            AdapterFetchFailed: a local one was replaced meanwhile.
        """
        if adapter.source is not AdapterSource.FOLDER:
            return file_sha256(path.resolve())
        sha256 = self.folders.sha256_of(path)
        fetch_from_folder(adapter, self.folders, self.max_bytes)
        return sha256
