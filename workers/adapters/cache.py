"""Parsed adapters in host memory: the most recently used ones, within a number of bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from cachetools import LRUCache

from tasks.adapters.file.identity import FileVersion, ResolvedAdapter
from tasks.errors import LeaseLost, WorkerStopping
from workers.activity import Follower, Unfollowed
from workers.swap.parsed_adapter import ParsedAdapter

NOTICE_S = 0.5
"""How soon a job that waits for another one's adapter passes its progress on."""


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter's file on this machine, and what it says."""

    path: Path
    sha256: str
    parsed: ParsedAdapter


@dataclass(eq=False)
class Loading:
    """An adapter that one thread loads, and others may wait for."""

    outcome: Future[LoadedAdapter | None] = field(default_factory=Future)
    progress_count: int = 0

    def wait(self, follower: Follower) -> LoadedAdapter | None:
        """Wait for it, and pass its progress on; None if that thread has no use for it any more.

        Raises:
            LeaseLost, WorkerStopping: the follower does not want it any more.
            JobFailed, MachineFault: it cannot be loaded.
        """
        progress_count = self.progress_count
        while not wait([self.outcome], NOTICE_S).done:
            follower.check_wanted()
            if self.progress_count != progress_count:
                progress_count = self.progress_count
                follower.note_progress()
        return self.outcome.result()


@dataclass(frozen=True)
class LoadingFollower:
    """Follows a loading for the job that does it, and for those that wait for it."""

    loading: Loading
    follower: Follower

    def note_progress(self) -> None:
        """Note it for all."""
        self.loading.progress_count += 1
        self.follower.note_progress()

    def check_wanted(self) -> None:
        """Whether the job that does it goes on: what it leaves, another begins anew."""
        self.follower.check_wanted()


class AdapterCache:
    """Loads each adapter once, however many jobs want it at the same time. Thread-safe.

    Args:
        load: fetches and parses an adapter, for one that follows it.
        max_bytes: bound on the tensors that are kept; an adapter that alone is larger is loaded for each job anew.
    """

    def __init__(self, load: Callable[[ResolvedAdapter, Follower], LoadedAdapter], *, max_bytes: int) -> None:
        self._load = load
        self._max_bytes = max_bytes
        self._loaded = empty(max_bytes)
        self._kept: dict[FileVersion, LoadedAdapter] = {}
        self._loading: dict[FileVersion, Loading] = {}
        self._lock = threading.Lock()

    def get(self, adapter: ResolvedAdapter, follower: Follower | None = None) -> LoadedAdapter:
        """The adapter, from memory if it is there.

        Args:
            follower: of its loading, whichever job loads it.

        Raises:
            JobFailed, MachineFault: as ``load`` does; every job that waits for it gets the same error.
            LeaseLost, WorkerStopping: the follower does not want it any more.
        """
        version = adapter.version
        follower = follower or Unfollowed()
        while True:
            with self._lock:
                if (loaded := self._kept.get(version) or self._loaded.get(version)) is not None:
                    return loaded
                if (under_way := self._loading.get(version)) is None:
                    mine = self._loading[version] = Loading()
            if under_way is None:
                return self._load_for_all(adapter, mine, follower)
            if (loaded := under_way.wait(follower)) is not None:
                return loaded

    def keep(self, adapters: Iterable[ResolvedAdapter]) -> None:
        """Keep these adapters in memory, loaded now if they are not, and let go those that were kept before.

        Raises:
            JobFailed, MachineFault: as ``get`` does; the others stay as they are.
        """
        wanted = {adapter.version: self.get(adapter) for adapter in adapters}
        with self._lock:
            others = {**self._kept, **self._loaded}
            self._kept = wanted
            self._loaded = empty(max(0, self._max_bytes - sum(one.parsed.bytes for one in wanted.values())))
            for version, loaded in others.items():
                if version not in wanted and loaded.parsed.bytes <= self._loaded.maxsize:
                    self._loaded[version] = loaded

    @property
    def bytes(self) -> int:
        """Memory that the kept adapters take."""
        with self._lock:
            return int(self._loaded.currsize) + sum(loaded.parsed.bytes for loaded in self._kept.values())

    def _load_for_all(self, adapter: ResolvedAdapter, loading: Loading, follower: Follower) -> LoadedAdapter:
        try:
            loaded = self._load(adapter, LoadingFollower(loading, follower))
        except BaseException as error:
            with self._lock:
                del self._loading[adapter.version]
            if isinstance(error, LeaseLost | WorkerStopping):
                loading.outcome.set_result(None)
            else:
                loading.outcome.set_exception(error)
            raise
        with self._lock:
            del self._loading[adapter.version]
            if loaded.parsed.bytes <= self._loaded.maxsize:
                self._loaded[adapter.version] = loaded
        loading.outcome.set_result(loaded)
        return loaded


def empty(max_bytes: int) -> LRUCache[FileVersion, LoadedAdapter]:
    """Return a cache of this many bytes."""
    return LRUCache(max_bytes, getsizeof=lambda loaded: loaded.parsed.bytes)
