"""Parsed adapters in host memory: the most recently used ones, within a number of bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache

from tasks.adapters import AdapterSource, ResolvedAdapter
from workers.low_rank import ParsedAdapter

Key = tuple[AdapterSource, str, str, str]


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter's file on this machine, and what it says."""

    path: Path
    sha256: str
    parsed: ParsedAdapter


class AdapterCache:
    """Loads each adapter once, however many jobs want it at the same time. Thread-safe.

    Args:
        load: fetches and parses an adapter.
        max_bytes: bound on the tensors that are kept; an adapter that alone is larger is loaded for each job anew.
    """

    def __init__(self, load: Callable[[ResolvedAdapter], LoadedAdapter], *, max_bytes: int) -> None:
        self._load = load
        self._loaded: LRUCache[Key, LoadedAdapter] = LRUCache(max_bytes, getsizeof=lambda loaded: loaded.parsed.bytes)
        self._loading: dict[Key, Future[LoadedAdapter]] = {}
        self._lock = threading.Lock()

    def get(self, adapter: ResolvedAdapter) -> LoadedAdapter:
        """The adapter, from memory if it is there.

        Raises:
            AdapterFetchFailed, AdapterLoadFailed: as ``load`` does; every job that waits for it gets the same error.
        """
        key = (adapter.source, adapter.repository, adapter.commit, adapter.weight_name)
        with self._lock:
            if (loaded := self._loaded.get(key)) is not None:
                return loaded
            if (under_way := self._loading.get(key)) is None:
                mine = self._loading[key] = Future()
        if under_way is not None:
            return under_way.result()
        return self._load_for_all(key, adapter, mine)

    @property
    def bytes(self) -> int:
        """Memory that the kept adapters take."""
        with self._lock:
            return int(self._loaded.currsize)

    def _load_for_all(self, key: Key, adapter: ResolvedAdapter, promise: Future[LoadedAdapter]) -> LoadedAdapter:
        try:
            loaded = self._load(adapter)
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            promise.set_exception(error)
            raise
        with self._lock:
            del self._loading[key]
            if loaded.parsed.bytes <= self._loaded.maxsize:
                self._loaded[key] = loaded
        promise.set_result(loaded)
        return loaded
