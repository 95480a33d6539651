"""The host-memory cache of parsed adapters."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.errors import AdapterFetchFailed, LeaseLost
from workers.activity import Follower, Unfollowed
from workers.adapters.cache import AdapterCache, LoadedAdapter
from workers.swap.changes import LowRank
from workers.swap.parsed_adapter import ParsedAdapter

pytestmark = pytest.mark.torch

BYTES = 2 * 4 * 8 * 4  # two factors of 4 x 8 floats


def adapter(name: str) -> ResolvedAdapter:
    return ResolvedAdapter(
        ref=name,
        source=AdapterSource.FOLDER,
        repository=name,
        commit="0" * 64,
        weight_name=f"{name}.safetensors",
        base_model="demo",
    )


class CountingLoader:
    """Loads adapters and counts how often."""

    def __init__(self) -> None:
        self.loads: list[str] = []

    def load(self, wanted: ResolvedAdapter, _: Follower | None = None) -> LoadedAdapter:
        self.loads.append(wanted.repository)
        product = LowRank(down=torch.zeros(4, 8), up=torch.zeros(8, 4), scale=1.0)
        parsed = ParsedAdapter.packed({"unet.conv_in.weight": (product,)}, {"unet.conv_in.weight": torch.float32})
        return LoadedAdapter(Path(wanted.weight_name), wanted.commit, parsed)


@pytest.fixture
def loader() -> CountingLoader:
    return CountingLoader()


def test_an_adapter_is_loaded_once(loader: CountingLoader) -> None:
    cache = AdapterCache(loader.load, max_bytes=10 * BYTES)

    assert cache.get(adapter("a")) is cache.get(adapter("a"))
    assert (loader.loads, cache.bytes) == (["a"], BYTES)


def test_the_least_recently_used_one_makes_room(loader: CountingLoader) -> None:
    cache = AdapterCache(loader.load, max_bytes=2 * BYTES)

    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(adapter(name))

    assert loader.loads == ["a", "b", "c", "b"]
    assert cache.bytes == 2 * BYTES


def test_one_that_is_larger_than_the_cache_is_loaded_each_time(loader: CountingLoader) -> None:
    cache = AdapterCache(loader.load, max_bytes=BYTES - 1)

    cache.get(adapter("a"))
    cache.get(adapter("a"))

    assert (loader.loads, cache.bytes) == (["a", "a"], 0)


def test_those_that_are_kept_make_no_room_until_others_are(loader: CountingLoader) -> None:
    cache = AdapterCache(loader.load, max_bytes=2 * BYTES)

    cache.keep([adapter("kept")])
    for name in ("a", "b", "kept"):
        cache.get(adapter(name))
    within = cache.bytes
    cache.keep([])
    for name in ("c", "d", "kept"):
        cache.get(adapter(name))

    assert within == cache.bytes == 2 * BYTES
    assert loader.loads == ["kept", "a", "b", "c", "d", "kept"]


def test_jobs_that_want_the_same_one_at_once_load_it_once(loader: CountingLoader) -> None:
    everybody_waits = threading.Event()

    def load(wanted: ResolvedAdapter, _: Follower) -> LoadedAdapter:
        everybody_waits.wait()
        return loader.load(wanted)

    cache = AdapterCache(load, max_bytes=BYTES)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(cache.get, adapter("a")) for _ in range(8)]
        everybody_waits.set()

    assert len({id(answer.result()) for answer in answers}) == 1
    assert loader.loads == ["a"]


class Canceled(Unfollowed):
    """Wants an adapter no more once it is asked."""

    def check_wanted(self) -> None:
        raise LeaseLost("The job was canceled.")


def test_what_a_canceled_job_leaves_the_one_that_waits_loads(loader: CountingLoader) -> None:
    begun, another_waits = threading.Event(), threading.Event()

    def load(wanted: ResolvedAdapter, follower: Follower) -> LoadedAdapter:
        begun.set()
        another_waits.wait()
        follower.check_wanted()
        return loader.load(wanted)

    cache = AdapterCache(load, max_bytes=BYTES)
    with ThreadPoolExecutor(2) as pool:
        canceled = pool.submit(cache.get, adapter("a"), Canceled())
        begun.wait()
        other = pool.submit(cache.get, adapter("a"))
        another_waits.set()

    assert isinstance(canceled.exception(), LeaseLost)
    assert other.result().path == Path("a.safetensors")
    assert loader.loads == ["a"]


def test_a_failure_is_told_and_not_remembered() -> None:
    answers = iter([AdapterFetchFailed("The Hub is away."), None])

    def load(wanted: ResolvedAdapter, _: Follower) -> LoadedAdapter:
        if (error := next(answers)) is not None:
            raise error
        return CountingLoader().load(wanted)

    cache = AdapterCache(load, max_bytes=BYTES)

    with pytest.raises(AdapterFetchFailed):
        cache.get(adapter("a"))
    assert cache.get(adapter("a")).path == Path("a.safetensors")
