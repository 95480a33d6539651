"""Bring the file of a resolved adapter to this machine: exactly the version that its job is pinned to."""

from __future__ import annotations

from pathlib import Path

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tasks.adapter_folder import AdapterFolders, file_sha256
from tasks.adapters import AdapterSource, ResolvedAdapter
from tasks.errors import AdapterFetchFailed


def fetch(
    adapter: ResolvedAdapter, folders: AdapterFolders, *, api: HfApi | None = None, cache_dir: Path | None = None
) -> Path:
    """The adapter's file on this machine, downloaded unless it is there already.

    Args:
        api: the Hub to ask; None means ``HF_ENDPOINT`` with ``HF_TOKEN``, as its client reads them.
        cache_dir: where downloads are kept; None means the Hub client's own cache (``HF_HUB_CACHE``).

    Raises:
        AdapterFetchFailed: the file cannot be had, or is not the one that the job was submitted with.
    """
    match adapter.source:
        case AdapterSource.FOLDER:
            return fetch_from_folder(adapter, folders)
        case AdapterSource.HUB:
            return fetch_from_hub(adapter, api or HfApi(), cache_dir)


def fetch_from_folder(adapter: ResolvedAdapter, folders: AdapterFolders) -> Path:
    """The file of a local adapter, if it still has the content that the job was submitted with.

    Raises:
        AdapterFetchFailed: it was removed or changed since, or this worker cannot read it.
    """
    path = folders.find(adapter.repository)
    if path is None:
        raise AdapterFetchFailed(f"Adapter {adapter.ref!r} is not in this worker's folders. Submit with another one.")
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise AdapterFetchFailed(
            f"The worker cannot read adapter {adapter.ref!r} ({error.strerror}). Its operator should check the file."
        ) from error
    if digest != adapter.commit:
        raise AdapterFetchFailed(
            f"The file of adapter {adapter.ref!r} has changed since the job was submitted. Submit the job again."
        )
    return path


def fetch_from_hub(adapter: ResolvedAdapter, api: HfApi, cache_dir: Path | None) -> Path:
    """The file of an adapter on the Hub at its commit; the Hub is not asked about a file that is in the cache.

    The Hub's client resumes a download that breaks off, and tries again for half a minute if the Hub does not answer.

    Raises:
        AdapterFetchFailed: the file is gone, the Hub does not answer, or the cache cannot be written.
    """
    file = f"{adapter.repository}@{adapter.commit[:8]}:{adapter.weight_name}"
    try:
        return Path(
            api.hf_hub_download(adapter.repository, adapter.weight_name, revision=adapter.commit, cache_dir=cache_dir)
        )
    except (RepositoryNotFoundError, RevisionNotFoundError, RemoteEntryNotFoundError) as error:
        raise AdapterFetchFailed(
            f"{file} can no longer be read on the Hub: it was removed, made private or gated. Submit with another one."
        ) from error
    except (httpx2.HTTPError, LocalEntryNotFoundError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise AdapterFetchFailed(f"The Hub did not deliver {file}: {reason}. Submit the job again later.") from error
    except (OSError, ValueError) as error:
        raise AdapterFetchFailed(
            f"The worker cannot store {file}: {error}. Its operator should check the Hub cache (HF_HOME) and its disk."
        ) from error
