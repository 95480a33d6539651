"""Adapters from our own storage, kept as the Hub's client keeps those of the Hub.

So they share its cache with them: within the same bound, removed in the same order, and named for their content.

    models--stokehold--<SHA-256>/blobs/<SHA-256>
                                /snapshots/<SHA-256>/adapter.safetensors -> the blob
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def cached_repository(adapter: ResolvedAdapter, path: Path) -> str:
    """Under which repository the Hub's cache has an adapter.

    Args:
        path: of its file there.
    """
    return adapter.repository if adapter.source is AdapterSource.HUB else f"{OWNER}/{path.parent.name}"


def place_of(cache: Path, sha256: str) -> Path:
    """The path in the cache of a file that is not the Hub's; there need not be one."""
    folder = cache / repo_folder_name(repo_id=f"{OWNER}/{sha256}", repo_type="model")
    return folder / "snapshots" / sha256 / FILE


def put_in_place(beside: Path, place: Path) -> None:
    """Move a whole file into the cache."""
    sha256 = place.parent.name
    blob = place.parents[2] / "blobs" / sha256
    blob.parent.mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    beside.replace(blob)
    with suppress(FileExistsError):  # another thread was faster
        place.symlink_to(os.path.relpath(blob, place.parent))


def remove_cached(place: Path) -> None:
    """Remove a damaged file."""
    place.resolve().unlink(missing_ok=True)
    place.unlink(missing_ok=True)


@contextmanager
def file_beside(cache: Path) -> Iterator[Path]:
    """A path for a file that is being written; removed unless it was moved away."""
    cache.mkdir(parents=True, exist_ok=True)
    beside = cache / f"{OWNER}-{uuid.uuid4().hex}.incomplete"
    try:
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def fetch_from_storage(adapter: ResolvedAdapter, storage: Storage, cache: Path, max_bytes: int) -> Path:
    """The file of an uploaded adapter on this machine, downloaded unless it is there already.

    Raises:
        AdapterFetchFailed: it is gone, too large or damaged.
        AdapterUnavailable: the cache cannot be written.
        StorageError: storage does not serve us; its kind says whether to wait.
    """
    path = place_of(cache, adapter.commit)
    ref = adapter.ref
    try:
        if not path.exists():
            size = storage.size(object_key(adapter))
            if size is None:
                raise gone(adapter)
            require_small(size, max_bytes, ref)
            with file_beside(cache) as beside:
                storage.download(object_key(adapter), beside)
                put_in_place(beside, path)
        if not is_damaged(path):
            return path
        remove_cached(path)
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
