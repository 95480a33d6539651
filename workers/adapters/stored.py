"""Adapters from our own storage, kept as the Hub's client keeps those of the Hub.

So they share its cache with them: within the same bound, removed in the same order, and named for their content.

    models--stokehold--<SHA-256>/blobs/<SHA-256>
                                /snapshots/<SHA-256>/adapter.safetensors -> the blob
"""

from __future__ import annotations

import logging
import os
import uuid
from contextlib import suppress
from pathlib import Path

from huggingface_hub.file_download import repo_folder_name

from storage import ObjectNotFound, Storage
from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.errors import AdapterFetchFailed, AdapterUnavailable
from workers.adapters.hub_download import is_damaged

logger = logging.getLogger(__name__)


def require_small(size: int, max_bytes: int, ref: str) -> None:
    """Refuse a file before it is downloaded or read.

    Raises:
        AdapterFetchFailed: it is larger than this service takes.
    """
    if size > max_bytes:
        raise AdapterFetchFailed(
            f"The file of adapter {ref!r} has {size} bytes, and this service takes at most {max_bytes}. Use an adapter "
            "of a smaller rank, or ask the operator to raise that bound."
        )


OWNER = "stokehold"


FILE = "adapter.safetensors"


def cached_repository(adapter: ResolvedAdapter) -> str:
    """Under which repository the Hub's cache has an adapter."""
    return f"{OWNER}/{adapter.commit}" if adapter.source is AdapterSource.UPLOAD else adapter.repository


def fetch_from_storage(adapter: ResolvedAdapter, storage: Storage, cache: Path, max_bytes: int) -> Path:
    """The file of an uploaded adapter on this machine, downloaded unless it is there already.

    Raises:
        AdapterFetchFailed: it is gone, too large or damaged.
        AdapterUnavailable: the cache cannot be written.
        StorageError: storage does not serve us; its kind says whether to wait.
    """
    folder = cache / repo_folder_name(repo_id=cached_repository(adapter), repo_type="model")
    path = folder / "snapshots" / adapter.commit / FILE
    ref = adapter.ref
    try:
        if not path.exists():
            size = storage.size(object_key(adapter))
            if size is None:
                raise gone(adapter)
            require_small(size, max_bytes, ref)
            download(storage, adapter, folder, path)
        if not is_damaged(path):
            return path
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except ObjectNotFound as error:
        raise gone(adapter) from error
    except OSError as error:
        logger.error("adapter %r cannot be kept on this machine: %s; see its disk and HF_HOME", ref, error)
        raise AdapterUnavailable(f"The worker cannot store adapter {ref!r}. Submit the job again later.") from error
    raise AdapterFetchFailed(f"The file of adapter {ref!r} is not the one that was announced. Send it again.")


def object_key(adapter: ResolvedAdapter) -> str:
    """Return where the file of an uploaded adapter lies in storage."""
    assert adapter.object_key is not None
    return adapter.object_key


def gone(adapter: ResolvedAdapter) -> AdapterFetchFailed:
    """The error for a file that is not in storage any more."""
    return AdapterFetchFailed(f"The file of adapter {adapter.ref!r} is missing. Send it to the catalogue again.")


def download(storage: Storage, adapter: ResolvedAdapter, folder: Path, path: Path) -> None:
    """Put an object into the cache: as a whole or not at all."""
    blob = folder / "blobs" / adapter.commit
    blob.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = blob.with_name(f"{adapter.commit}.{uuid.uuid4().hex}.incomplete")
    try:
        storage.download(object_key(adapter), beside)
        beside.replace(blob)
    finally:
        beside.unlink(missing_ok=True)
    with suppress(FileExistsError):  # another thread was faster
        path.symlink_to(os.path.relpath(blob, path.parent))
