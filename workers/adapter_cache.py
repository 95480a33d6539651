"""Parsed adapters in host memory: the most recently used ones, within a number of bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
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
        self._max_bytes = max_bytes
        self._loaded = empty(max_bytes)
        self._kept: dict[Key, LoadedAdapter] = {}
        self._loading: dict[Key, Future[LoadedAdapter]] = {}
        self._lock = threading.Lock()

    def get(self, adapter: ResolvedAdapter) -> LoadedAdapter:
        """The adapter, from memory if it is there.

        Raises:
            JobFailed, MachineFault, WorkerStopping: as ``load`` does; every job that waits for it gets the same error.
        """
        key = key_of(adapter)
        with self._lock:
            if (loaded := self._kept.get(key) or self._loaded.get(key)) is not None:
                return loaded
            if (under_way := self._loading.get(key)) is None:
                mine = self._loading[key] = Future()
        if under_way is not None:
            return under_way.result()
        return self._load_for_all(key, adapter, mine)

    def keep(self, adapters: Iterable[ResolvedAdapter]) -> None:
        """Keep these adapters in memory, loaded now if they are not, and let go those that were kept before.

        Raises:
            JobFailed, MachineFault: as ``get`` does; the others stay as they are.
        """
        wanted = {key_of(adapter): self.get(adapter) for adapter in adapters}
        with self._lock:
            others = {**self._kept, **self._loaded}
            self._kept = wanted
            self._loaded = empty(max(0, self._max_bytes - sum(one.parsed.bytes for one in wanted.values())))
            for key, loaded in others.items():
                if key not in wanted and loaded.parsed.bytes <= self._loaded.maxsize:
                    self._loaded[key] = loaded

    @property
    def bytes(self) -> int:
        """Memory that the kept adapters take."""
        with self._lock:
            return int(self._loaded.currsize) + sum(loaded.parsed.bytes for loaded in self._kept.values())

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


def key_of(adapter: ResolvedAdapter) -> Key:
    """What makes two adapters the same: the file, in one version."""
    return adapter.source, adapter.repository, adapter.commit, adapter.weight_name


def empty(max_bytes: int) -> LRUCache[Key, LoadedAdapter]:
    """A cache of so many bytes."""
    return LRUCache(max_bytes, getsizeof=lambda loaded: loaded.parsed.bytes)
