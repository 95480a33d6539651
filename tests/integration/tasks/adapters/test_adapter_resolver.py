"""What the resolver remembers of the Hub's answers, for how long, and what it never remembers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tasks.adapters.catalogue.store import Catalogue
from tasks.adapters.file.identity import ResolvedAdapter
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.lookup.hub import AdapterHub
from tasks.adapters.lookup.resolver import REFUSAL_TTL_S, AdapterResolver
from tasks.adapters.lookup.uploaded import UploadedAdapters
from tasks.adapters.passport.facts import FactsCache
from tasks.adapters.passport.passport import Passports
from tasks.base_models.shapes import ShapeStore
from tasks.errors import AdapterNotFound, AdapterNotUsable, HubUnavailable, InvalidRequest
from tasks.valkey import Valkey
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.hub import HubServer
from tests.support.no_storage import NO_ADDRESSES, NO_STORAGE
from tests.support.safetensors_files import lora_bytes, write_lora
from tests.support.waiting import patience

TTL_S = 300.0
LORA = {"pytorch_lora_weights.safetensors": lora_bytes()}
OTHER_LORA = {"pytorch_lora_weights.safetensors": lora_bytes(rank=8)}
FOR_DEMO = 'base_model = "stokehold/demo"'


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repository("ada/pixel", LORA, base_model="stokehold/demo")
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def resolver(hub: HubServer, valkey: Valkey, clock: Clock, tmp_path: Path) -> AdapterResolver:
    hub_reader = AdapterHub(api=HfApi(endpoint=hub.url, token=False))
    folders = AdapterFolders([tmp_path], DEMO_AND_SDXL)
    passports = Passports(DEMO_AND_SDXL, ShapeStore(valkey), FactsCache(valkey), max_bytes=10**6)
    find_entry = Catalogue(valkey, pinned_bytes=0).find_file
    uploads = UploadedAdapters(NO_STORAGE)
    return AdapterResolver(
        folders, hub_reader, find_entry, uploads, passports, ttl_s=TTL_S, clock=clock, addressed=NO_ADDRESSES
    )


def resolve(resolver: AdapterResolver, ref: str, *, field: str | None = None) -> ResolvedAdapter:
    return resolver.admit(ref, field=field).adapter


def test_the_hub_is_asked_once_within_the_time_to_live_and_again_after_it(
    resolver: AdapterResolver, hub: HubServer, clock: Clock
) -> None:
    first = resolve(resolver, "ada/pixel")
    moved = hub.push("ada/pixel", OTHER_LORA)

    clock.now = TTL_S - 1
    assert resolve(resolver, "ada/pixel") == first
    assert hub.count("GET", "/api/models/") == 1

    clock.now = TTL_S
    assert resolve(resolver, "ada/pixel").commit == moved
    assert hub.count("GET", "/api/models/") == 2


def test_a_refusal_is_remembered_for_a_much_shorter_time(
    resolver: AdapterResolver, hub: HubServer, clock: Clock
) -> None:
    with pytest.raises(AdapterNotFound) as first:
        resolve(resolver, "ada/new")
    hub.add_repository("ada/new", LORA, base_model="stokehold/demo")

    clock.now = REFUSAL_TTL_S - 1
    with pytest.raises(AdapterNotFound) as second:
        resolve(resolver, "ada/new")
    assert str(second.value) == str(first.value)
    assert len(hub.requests) == 1

    clock.now = REFUSAL_TTL_S
    assert resolve(resolver, "ada/new").base_model == "demo"


def test_a_hub_that_does_not_answer_is_asked_again(resolver: AdapterResolver, hub: HubServer) -> None:
    hub.fail(503)
    with pytest.raises(HubUnavailable):
        resolve(resolver, "ada/pixel")

    assert resolve(resolver, "ada/pixel").base_model == "demo"


def test_two_files_and_two_revisions_of_a_repository_are_different_adapters(
    resolver: AdapterResolver, hub: HubServer
) -> None:
    draft = hub.push("ada/pixel", OTHER_LORA, branch="draft")

    assert resolve(resolver, "ada/pixel").commit != draft
    assert resolve(resolver, "ada/pixel@draft").commit == draft


def test_a_local_adapter_is_never_remembered_from_before_its_file_changed(
    resolver: AdapterResolver, hub: HubServer, tmp_path: Path
) -> None:
    write_lora(tmp_path, "pixel", sidecar=FOR_DEMO, rank=4)
    before = resolve(resolver, "pixel")

    write_lora(tmp_path, "pixel", sidecar=FOR_DEMO, rank=8)

    assert resolve(resolver, "pixel").commit != before.commit
    assert hub.requests == []


@pytest.mark.parametrize(
    ("ref", "kind"),
    [
        ("not a reference", InvalidRequest),
        ("missing", AdapterNotFound),
        ("broken", AdapterNotUsable),
        ("ada/missing", AdapterNotFound),
    ],
)
def test_an_error_names_the_field_of_the_request_that_it_is_about(
    resolver: AdapterResolver, tmp_path: Path, ref: str, kind: type[InvalidRequest]
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"")

    for field in ("adapters.0.ref", "adapters.1.ref"):
        with pytest.raises(InvalidRequest) as refused:
            resolve(resolver, ref, field=field)

        assert type(refused.value) is kind
        assert refused.value.field == field


def test_a_slow_answer_holds_up_no_other_request(resolver: AdapterResolver, hub: HubServer, tmp_path: Path) -> None:
    remembered = resolve(resolver, "ada/pixel")
    hub.add_repository("ada/slow", LORA, base_model="stokehold/demo")

    with ThreadPoolExecutor() as threads, hub.silent() as asked:
        slow = threads.submit(resolve, resolver, "ada/slow")
        assert asked.wait(timeout=patience(30))
        assert resolve(resolver, "ada/pixel") == remembered
        assert not slow.done()

    assert slow.result().base_model == "demo"
