"""A Hub that is silent, or sends a byte now and then, holds no worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import count
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.lookup.hub import AdapterHub
from tasks.errors import AdapterUnavailable, WorkerStopping
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.hub import HubServer
from tests.support.no_downloads import NO_DOWNLOADS
from tests.support.no_storage import NO_STORAGE
from tests.support.safetensors_files import lora_bytes
from tests.support.waiting import wait_until
from workers.adapters.fetch import fetch
from workers.adapters.hub_download import DownloadBounds, DownloadWatch, watched

LORA = lora_bytes()
SHORT = DownloadBounds(bytes_per_s=10**6, grace_s=0.3)

Fetch = Callable[[DownloadBounds], Path]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as hub:
        hub.add_repository("ada/slow", {"lora.safetensors": LORA}, base_model="demo")
        yield hub


@pytest.fixture
def fetch_slow(hub: HubServer, tmp_path: Path) -> Fetch:
    api = HfApi(endpoint=hub.url, token=False)
    adapter = AdapterHub(api=api).look_up(AdapterReference.parse("ada/slow")).resolved("demo")

    def fetch_slow(bounds: DownloadBounds) -> Path:
        folders = AdapterFolders((), DEMO_AND_SDXL)
        return fetch(adapter, folders, NO_STORAGE, NO_DOWNLOADS, api=api, cache_dir=tmp_path, bounds=bounds)

    return fetch_slow


def left_behind() -> bool:
    return any(thread.name == "hub-download" for thread in threading.enumerate())


def test_a_download_that_trickles_is_given_up_and_succeeds_when_the_hub_is_well(
    hub: HubServer, fetch_slow: Fetch
) -> None:
    with hub.trickling(0.01), pytest.raises(AdapterUnavailable, match=r"too slowly.*Submit the job again later"):
        fetch_slow(SHORT)

    assert fetch_slow(SHORT).read_bytes() == LORA


def test_the_thread_of_a_download_that_trickles_ends_and_leaves_no_file(
    hub: HubServer, fetch_slow: Fetch, tmp_path: Path
) -> None:
    with hub.trickling(0.01):
        with pytest.raises(AdapterUnavailable):
            fetch_slow(SHORT)

        wait_until(lambda: not left_behind())

    assert not list(tmp_path.rglob("*.incomplete"))


def test_a_hub_that_says_nothing_is_given_up_without_the_tries_of_its_client(hub: HubServer, fetch_slow: Fetch) -> None:
    with hub.silent(), pytest.raises(AdapterUnavailable, match="too slowly"):
        fetch_slow(SHORT)

    assert hub.count("HEAD", "/resolve/") == 1
    wait_until(lambda: not left_behind())
    assert hub.count("HEAD", "/resolve/") == 1


@pytest.mark.parametrize("way", ["silent", "trickling"])
def test_a_worker_that_shuts_down_waits_for_no_download(hub: HubServer, fetch_slow: Fetch, way: str) -> None:
    bounds = DownloadBounds(grace_s=3600)
    threading.Timer(0.1, bounds.stopping.set).start()

    with hub.silent() if way == "silent" else hub.trickling(0.01), pytest.raises(WorkerStopping):
        fetch_slow(bounds)


@pytest.mark.parametrize(("seconds_a_part", "arrives"), [(1, True), (10, False)])
def test_the_rate_counts_from_the_beginning(seconds_a_part: int, arrives: bool) -> None:
    clock = count(0, seconds_a_part)
    watch = DownloadWatch(DownloadBounds(bytes_per_s=5, grace_s=3), clock=lambda: next(clock))
    parts = watch.counted(iter([b"x" * 10] * 10))

    if arrives:
        assert b"".join(parts) == b"x" * 100
    else:
        with pytest.raises(AdapterUnavailable):
            list(parts)


def test_tries_that_each_bring_a_little_are_bounded_by_the_size_that_the_hub_names() -> None:
    now = 0.0
    watch = DownloadWatch(DownloadBounds(bytes_per_s=1, grace_s=30), clock=lambda: now)
    watch.expect(50)

    now = 80
    watch.check()
    now = 81
    with pytest.raises(AdapterUnavailable):
        watch.check()


def test_a_download_has_the_context_of_its_job() -> None:
    job = ContextVar("job", default="none")
    job.set("0123")

    assert watched(DownloadWatch(DownloadBounds()), job.get) == "0123"
