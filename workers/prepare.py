"""First stage of a job: bring its adapters into this machine's memory. Runs without the pipeline's lock."""

from __future__ import annotations

from tasks.adapter_folder import AdapterFolders, file_sha256
from tasks.adapters import AdapterSource, ResolvedAdapter
from tasks.job import JobSpec
from workers.adapter_cache import AdapterCache, LoadedAdapter
from workers.adapter_files import fetch
from workers.adapter_parser import parse_adapter
from workers.disk_cache import DiskCache
from workers.merge_engine import AdapterSet, PreparedAdapter
from workers.warm_pipeline import WarmPipeline


def prepare(cache: AdapterCache, spec: JobSpec) -> AdapterSet:
    """Fetch and parse a job's adapters, unless they are in memory.

    Raises:
        AdapterFetchFailed: a file cannot be had.
        AdapterLoadFailed: a file is broken or was made for another base model.
    """
    prepared = []
    for scaled in spec.adapters:
        loaded = cache.get(scaled.adapter)
        prepared.append(PreparedAdapter(scaled.adapter, scaled.scale, loaded.path, loaded.sha256, loaded.parsed))
    return tuple(prepared)


def load_adapter(
    folders: AdapterFolders, disk: DiskCache, warm: WarmPipeline, max_bytes: int, adapter: ResolvedAdapter
) -> LoadedAdapter:
    """Fetch an adapter's file of at most ``max_bytes``, make room for it on disk, and parse it.

    Raises:
        AdapterFetchFailed, AdapterLoadFailed: as in ``prepare``.
    """
    path = fetch(adapter, folders, cache_dir=disk.folder, max_bytes=max_bytes)
    if adapter.source is AdapterSource.HUB:
        disk.note_use(adapter.repository, path)
        disk.make_room()
    return LoadedAdapter(path, file_sha256(path.resolve()), parse_adapter(warm.shell, path, adapter.ref))
