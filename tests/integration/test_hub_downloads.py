"""A Hub that sends a byte now and then."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from tasks.adapter_folder import AdapterFolders
from tasks.adapter_hub import AdapterHub
from tasks.adapter_reference import AdapterReference
from tasks.errors import AdapterFetchFailed
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.hub import HubServer
from tests.support.no_storage import NO_STORAGE
from tests.support.safetensors_files import lora_bytes
from workers.adapter_files import fetch
from workers.hub_downloads import LeastRate, bound_downloads


class Parts(httpx2.SyncByteStream):
    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts


@pytest.fixture
def usual_client() -> Iterator[None]:
    yield
    set_client_factory(default_client_factory)


def test_a_download_that_trickles_ends_and_may_begin_again(usual_client: None, tmp_path: Path) -> None:
    bound_downloads(bytes_per_s=10**6, patience_s=0.1)
    folders = AdapterFolders((), DEMO_AND_SDXL)
    with HubServer() as hub:
        hub.add_repository("ada/slow", {"lora.safetensors": lora_bytes()}, base_model="demo")
        api = HfApi(endpoint=hub.url, token=False)
        adapter = AdapterHub(api=api).look_up(AdapterReference.parse("ada/slow")).resolved("demo")
        with hub.trickling(0.01), pytest.raises(AdapterFetchFailed, match="too slowly"):
            fetch(adapter, folders, NO_STORAGE, api=api, cache_dir=tmp_path)

        path = fetch(adapter, folders, NO_STORAGE, api=api, cache_dir=tmp_path)

        assert path.read_bytes() == lora_bytes()


@pytest.mark.parametrize(("seconds_a_part", "arrives"), [(1, True), (10, False)])
def test_the_rate_counts_from_the_beginning(seconds_a_part: int, arrives: bool) -> None:
    clock = count(0, seconds_a_part)
    stream = LeastRate(Parts(*[b"x" * 10] * 10), 5, patience_s=3, clock=lambda: next(clock))

    if arrives:
        assert b"".join(stream) == b"x" * 100
    else:
        with pytest.raises(AdapterFetchFailed):
            list(stream)
