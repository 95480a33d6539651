"""Adapters from addresses: read once, found to be what the job is pinned to, and kept by their SHA-256."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tasks.adapters.file.address import FileAddress
from tasks.adapters.file.identity import ResolvedAdapter
from tasks.adapters.file.safetensors import LENGTH_BYTES, header_end
from tasks.adapters.lookup.addressed import version_of
from tasks.adapters.lookup.addressed_files import AddressedFiles
from tasks.adapters.lookup.checksums import Checksums
from tasks.errors import AdapterFetchFailed, AdapterUnavailable, RequestError, SourceUnavailable
from workers.adapters.hub_download import DownloadWatch, is_damaged, watched
from workers.adapters.stored import file_beside, place_of, put_in_place, remove_cached, require_small

logger = logging.getLogger(__name__)

A_DAY = 86_400.0
"""Seconds of a download at most; its rate is bounded by the watch."""


@dataclass(frozen=True)
class AddressedDownloads:
    """What is needed to fetch adapters from addresses."""

    files: AddressedFiles
    checksums: Checksums


def fetch_from_address(
    adapter: ResolvedAdapter, downloads: AddressedDownloads, cache: Path, max_bytes: int, watch: DownloadWatch
) -> Path:
    """The file of an adapter from an address on this machine, downloaded unless it is there already.

    Raises:
        AdapterFetchFailed: it is gone, too large, or another than when the job was submitted.
        AdapterUnavailable: its server does not answer or is too slow, or the cache cannot be written.
        ValkeyUnavailable: Valkey does not answer.
        WorkerStopping: the worker shuts down.
    """
    ref = adapter.ref
    try:
        known = adapter.sha256 or downloads.checksums.of(adapter.commit)
        if known is not None and (place := place_of(cache, known)).exists():
            if not is_damaged(place):
                return place
            remove_cached(place)
        with file_beside(cache) as beside:
            version, sha256 = watched(watch, partial(download, adapter, downloads.files, beside, max_bytes, watch))
            require_pinned(adapter, downloads.checksums, version, sha256)
            place = place_of(cache, sha256)
            put_in_place(beside, place)
            return place
    except RequestError as error:
        raise AdapterFetchFailed(f"The file of adapter {ref!r} cannot be fetched any more. {error}") from error
    except SourceUnavailable as error:
        logger.warning("adapter %r is not delivered: %s", ref, error)
        raise AdapterUnavailable(
            f"The file of adapter {ref!r} was not delivered. Submit the job again later."
        ) from error
    except OSError as error:
        logger.error("adapter %r cannot be kept on this machine: %s; see its disk and HF_HOME", ref, error)
        raise AdapterUnavailable(f"The worker cannot store adapter {ref!r}. Submit the job again later.") from error


def download(
    adapter: ResolvedAdapter, files: AddressedFiles, path: Path, max_bytes: int, watch: DownloadWatch
) -> tuple[str, str]:
    """Read a file to its end; its version and its SHA-256.

    Raises:
        AdapterFetchFailed: it is too large, or not the one that was announced.
        RequestError, SourceUnavailable: as ``AddressedFiles.opened`` does.
        OSError: it cannot be written.
    """
    digest, size = hashlib.sha256(), 0
    with files.opened(FileAddress(adapter.repository), total_s=A_DAY) as answer, path.open("wb") as file:
        require_small(answer.size_bytes or 0, max_bytes, adapter.ref)
        watch.expect(answer.size_bytes or adapter.size_bytes or 0)
        for part in watch.counted(answer.parts):
            size += len(part)
            if size > (adapter.size_bytes or max_bytes):
                raise changed(adapter)
            digest.update(part)
            file.write(part)
    if size != adapter.size_bytes:
        raise changed(adapter)
    return version_of(adapter.repository, size, answer.validator, header_of(path)), digest.hexdigest()


def header_of(path: Path) -> bytes:
    """The bytes of a file's header.

    Raises:
        AdapterNotUsable: it is not a safetensors file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(LENGTH_BYTES)
        return start + file.read(header_end(start, name=path.name) - LENGTH_BYTES)


def require_pinned(adapter: ResolvedAdapter, checksums: Checksums, version: str, sha256: str) -> None:
    """Check that a file is the one that a job is pinned to; what is known of it first holds from then on.

    Raises:
        AdapterFetchFailed: it is another.
        ValkeyUnavailable: Valkey does not answer.
    """
    if adapter.sha256 is None and version != adapter.commit:
        raise changed(adapter)
    noted = checksums.note(version, sha256)
    if sha256 != (adapter.sha256 or noted):
        raise changed(adapter)


def changed(adapter: ResolvedAdapter) -> AdapterFetchFailed:
    """The error for a file that is another than when the job was submitted."""
    return AdapterFetchFailed(
        f"The file of adapter {adapter.ref!r} is not the one that the job was submitted with. Submit the job again."
    )
