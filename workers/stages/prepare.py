"""First stage of a job: bring its adapters into this machine's memory. On the job's own thread."""

from __future__ import annotations

from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.adapters.lookup.folder import file_sha256
from tasks.jobs.job import JobSpec
from tasks.service import Service
from workers.activity import NoteProgress
from workers.adapters.cache import AdapterCache, LoadedAdapter
from workers.adapters.disk_cache import DiskCache
from workers.adapters.fetch import fetch
from workers.adapters.hub_download import DownloadBounds
from workers.adapters.parser import parse_adapter
from workers.adapters.stored import cached_repository
from workers.base.device_thread import on_one_core
from workers.swap.engine import AdapterSet, PreparedAdapter
from workers.swap.warm_pipeline import WarmPipeline


def prepare(cache: AdapterCache, spec: JobSpec, note_progress: NoteProgress) -> AdapterSet:
    """Fetch and parse a job's adapters, unless they are in memory.

    Args:
        note_progress: called at each progress.

    Raises:
        AdapterFetchFailed: a file is gone, or another one.
        AdapterUnavailable: this machine cannot get or keep a file.
        AdapterLoadFailed: a file is broken or was made for another base model.
        WorkerStopping: the worker is told to end while it waits for the Hub.
    """
    prepared = []
    for scaled in spec.adapters:
        loaded = cache.get(scaled.adapter, note_progress)
        prepared.append(PreparedAdapter(scaled.adapter, scaled.scale, loaded.path, loaded.sha256, loaded.parsed))
    return tuple(prepared)


def load_adapter(
    adapter: ResolvedAdapter,
    note_progress: NoteProgress,
    *,
    service: Service,
    disk: DiskCache,
    warm: WarmPipeline,
    bounds: DownloadBounds,
) -> LoadedAdapter:
    """Fetch an adapter's file, make room for it on disk, and parse it.

    Raises:
        AdapterFetchFailed, AdapterUnavailable, AdapterLoadFailed, WorkerStopping: as in ``prepare``.
    """
    path = fetch(
        adapter,
        service.adapter_folders,
        service.storage,
        cache_dir=disk.folder,
        max_bytes=service.settings.adapter_max_bytes,
        bounds=bounds,
        note_progress=note_progress,
    )
    note_progress()
    if adapter.source is not AdapterSource.FOLDER:
        disk.note_use(cached_repository(adapter), path)
        disk.make_room()
    with on_one_core():
        parsed = parse_adapter(warm.shell, path, adapter.ref)
    return LoadedAdapter(path, file_sha256(path.resolve()), parsed)
