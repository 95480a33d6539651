"""The Hub's adapters on disk keep within their bound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, scan_cache_dir

from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.lookup.hub import AdapterHub
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.hub import HubServer
from tests.support.no_downloads import NO_DOWNLOADS
from tests.support.no_storage import NO_STORAGE
from tests.support.safetensors_files import lora_bytes
from workers.adapters.disk_cache import IN_USE_S, DiskCache
from workers.adapters.fetch import fetch

LORA = lora_bytes()


class Clock:
    """Seconds since 1970, as the test has them."""

    now = 2_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        for name in ("ada/first", "ada/second", "ada/third"):
            server.add_repository(name, {"pytorch_lora_weights.safetensors": LORA}, base_model="stokehold/demo")
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def disk(tmp_path: Path, clock: Clock) -> DiskCache:
    return DiskCache(tmp_path, max_bytes=2 * len(LORA), clock=clock)


def use(hub: HubServer, disk: DiskCache, name: str) -> None:
    api = HfApi(endpoint=hub.url, token=False)
    adapter = AdapterHub(api=api).look_up(AdapterReference.parse(name)).resolved("demo")
    path = fetch(adapter, AdapterFolders((), DEMO_AND_SDXL), NO_STORAGE, NO_DOWNLOADS, api=api, cache_dir=disk.folder)
    disk.note_use(name, path)
    disk.make_room()


def kept(disk: DiskCache) -> set[str]:
    return {repository.repo_id for repository in scan_cache_dir(disk.folder).repos if repository.size_on_disk}


def test_the_least_recently_used_adapter_goes(hub: HubServer, disk: DiskCache, clock: Clock) -> None:
    for name in ("ada/first", "ada/second", "ada/first", "ada/third"):
        use(hub, disk, name)
        clock.now += IN_USE_S + 1

    assert kept(disk) == {"ada/first", "ada/third"}


def test_what_may_be_in_use_stays(hub: HubServer, disk: DiskCache) -> None:
    for name in ("ada/first", "ada/second", "ada/third"):
        use(hub, disk, name)

    assert kept(disk) == {"ada/first", "ada/second", "ada/third"}


def test_what_is_not_ours_is_neither_counted_nor_removed(hub: HubServer, disk: DiskCache, clock: Clock) -> None:
    HfApi(endpoint=hub.url, token=False).hf_hub_download(
        "ada/first", "pytorch_lora_weights.safetensors", cache_dir=disk.folder
    )
    for name in ("ada/second", "ada/third"):
        use(hub, disk, name)
        clock.now += IN_USE_S + 1

    assert kept(disk) == {"ada/first", "ada/second", "ada/third"}
