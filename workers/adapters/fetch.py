"""Bring the file of a resolved adapter to this machine: exactly the version that its job is pinned to."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import (
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from storage import Storage
from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.adapters.file.version import is_same_content, version_of
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.errors import AdapterFetchFailed, AdapterUnavailable
from workers.activity import NoteProgress
from workers.adapters.addressed import AddressedDownloads, fetch_from_address
from workers.adapters.hub_download import DownloadBounds, DownloadWatch, is_damaged, watched
from workers.adapters.stored import fetch_from_storage, require_small

logger = logging.getLogger(__name__)

UNBOUNDED = 2**63


def fetch(
    adapter: ResolvedAdapter,
    folders: AdapterFolders,
    storage: Storage,
    addressed: AddressedDownloads,
    *,
    api: HfApi | None = None,
    cache_dir: Path | None = None,
    max_bytes: int = UNBOUNDED,
    bounds: DownloadBounds | None = None,
    note_progress: NoteProgress = lambda: None,
) -> Path:
    """The adapter's file on this machine, downloaded unless it is there already.

    Args:
        api: the Hub to ask; None means ``HF_ENDPOINT`` with ``HF_TOKEN``, as its client reads them.
        cache_dir: where downloads are kept; None means the Hub client's own cache (``HF_HUB_CACHE``).
        max_bytes: the largest file that is downloaded or read.
        bounds: how long a download may take.
        note_progress: called at each progress of a download.

    Raises:
        AdapterFetchFailed: the file is gone, is too large, or is not the one that the job was submitted with.
        AdapterUnavailable: this machine cannot get or keep it.
        WorkerStopping: the worker shuts down while it waits for a download.
    """
    match adapter.source:
        case AdapterSource.FOLDER:
            return fetch_from_folder(adapter, folders, max_bytes)
        case AdapterSource.HUB:
            watch = DownloadWatch(bounds or DownloadBounds(), note_progress)
            return fetch_from_hub(adapter, api or HfApi(), cache_dir, max_bytes, watch)
        case AdapterSource.UPLOAD:
            return fetch_from_storage(adapter, storage, cache_dir or Path(HF_HUB_CACHE), max_bytes)
        case AdapterSource.ADDRESS:
            watch = DownloadWatch(bounds or DownloadBounds(), note_progress)
            return fetch_from_address(adapter, addressed, cache_dir or Path(HF_HUB_CACHE), max_bytes, watch)


def fetch_from_folder(adapter: ResolvedAdapter, folders: AdapterFolders, max_bytes: int) -> Path:
    """The file of a local adapter, if it still has the content that the job was submitted with.

    Raises:
        AdapterFetchFailed: it is too large, or has changed since.
        AdapterUnavailable: this worker does not have it, or cannot read it.
    """
    path = folders.path_of(adapter)
    if path is None:
        raise AdapterUnavailable(
            f"Adapter {adapter.ref!r} is not in this worker's folders. Submit the job with another adapter."
        )
    try:
        require_small(path.stat().st_size, max_bytes, adapter.ref)
        unchanged = has_content_of(adapter, path, folders)
    except OSError as error:
        raise AdapterUnavailable(
            f"The worker cannot read adapter {adapter.ref!r} ({error.strerror}). Its operator should check the file."
        ) from error
    if not unchanged:
        raise AdapterFetchFailed(
            f"The file of adapter {adapter.ref!r} has changed since the job was submitted. Submit the job again."
        )
    return path


def has_content_of(adapter: ResolvedAdapter, path: Path, folders: AdapterFolders) -> bool:
    """Return whether a local file has the content that an adapter is pinned to.

    One with another time has been touched or copied to this machine. Where the SHA-256 is known it decides, and
    otherwise samples do.

    Raises:
        OSError: it cannot be read.
    """
    version = version_of(path)
    if version == adapter.commit:
        return True
    if adapter.sha256 is not None:  # a manifest pins a file by this alone
        return folders.sha256_of(path) == adapter.sha256
    return is_same_content(version, adapter.commit)


def fetch_from_hub(
    adapter: ResolvedAdapter, api: HfApi, cache_dir: Path | None, max_bytes: int, watch: DownloadWatch
) -> Path:
    """The file of an adapter on the Hub at its commit; the Hub is not asked about a file that is in the cache.

    The Hub's client goes on with a download that breaks off, and tries again if the Hub does not answer, as long as the
    watch allows. What a download leaves behind that was given up is removed: the next one begins anew.

    Raises:
        AdapterFetchFailed: the file is gone, too large or damaged.
        AdapterUnavailable: the Hub does not answer or is too slow, or the cache cannot be written.
        WorkerStopping: the worker shuts down.
    """
    file = f"{adapter.repository}@{adapter.commit[:8]}:{adapter.weight_name}"
    try:
        return download(adapter, api, cache_dir, max_bytes, watch)
    except (RepositoryNotFoundError, RevisionNotFoundError, RemoteEntryNotFoundError) as error:
        raise AdapterFetchFailed(
            f"{file} can no longer be read on the Hub: it was removed, made private or gated. "
            "Submit the job with another adapter."
        ) from error
    except (httpx2.HTTPError, LocalEntryNotFoundError) as error:
        logger.warning("the Hub did not deliver %s: %s", file, error.__cause__ or error)
        raise AdapterUnavailable(f"The Hub did not deliver {file}. Submit the job again later.") from error
    except (OSError, ValueError) as error:
        logger.error("adapter %s cannot be kept on this machine: %s; see its disk and HF_HOME", file, error)
        raise AdapterUnavailable(f"The worker cannot store {file}. Submit the job again later.") from error


def download(
    adapter: ResolvedAdapter, api: HfApi, cache_dir: Path | None, max_bytes: int, watch: DownloadWatch
) -> Path:
    """Ask how large the file is, download it, and see that it is the one that the Hub has at this commit.

    Raises:
        AdapterFetchFailed: it is too large, or its content is not the one that the Hub names.
        WorkerStopping: the worker shuts down.
        OSError, ValueError: whatever the Hub's client raises.
    """
    name, file, commit = adapter.repository, adapter.weight_name, adapter.commit
    ahead = watched(watch, lambda: api.hf_hub_download(name, file, revision=commit, cache_dir=cache_dir, dry_run=True))
    size = ahead.file_size or 0
    require_small(size, max_bytes, adapter.ref)
    watch.expect(size)
    path = Path(watched(watch, lambda: api.hf_hub_download(name, file, revision=commit, cache_dir=cache_dir)))
    if is_damaged(path):
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise AdapterFetchFailed(
            f"The file of adapter {adapter.ref!r} is not the one that the Hub names: its checksum differs. It was "
            "damaged on the way, or changed. Submit the job again, and contact its author if that does not help."
        )
    return path
