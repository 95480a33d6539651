"""Adapters on the Hub, resolved and fetched by the real client from a small real server."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from tasks.adapters.file.identity import AdapterSource, FoundAdapter, ResolvedAdapter
from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.lookup.hub import AdapterHub
from tasks.errors import AdapterFetchFailed, AdapterNotFound, AdapterNotUsable, AdapterUnavailable, HubUnavailable
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.hub import HubServer
from tests.support.no_downloads import NO_DOWNLOADS
from tests.support.no_storage import NO_STORAGE
from tests.support.safetensors_files import lora_bytes
from workers.adapters.fetch import fetch

ROOT = Path(__file__).parents[4]
WEIGHTS = "pytorch_lora_weights.safetensors"
LORA = lora_bytes(rank=4)
OTHER_LORA = lora_bytes(rank=8)
DEMO = "stokehold/demo"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


def look_up(
    hub: HubServer, ref: str, *, token: str | bool = False, timeout_s: float = 5.0, allow_private: bool = False
) -> FoundAdapter:
    api = HfApi(endpoint=hub.url, token=token)
    return AdapterHub(api=api, timeout_s=timeout_s).look_up(AdapterReference.parse(ref), allow_private=allow_private)


def resolve(hub: HubServer, ref: str) -> ResolvedAdapter:
    return look_up(hub, ref).resolved("demo")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fetch_from(hub: HubServer, adapter: ResolvedAdapter, cache: Path) -> Path:
    return fetch(
        adapter,
        AdapterFolders((), DEMO_AND_SDXL),
        NO_STORAGE,
        NO_DOWNLOADS,
        api=HfApi(endpoint=hub.url, token=False),
        cache_dir=cache,
    )


class TestLookingUp:
    def test_a_reference_is_pinned_to_a_commit_and_a_file(self, hub: HubServer) -> None:
        commit = hub.add_repository("ada/pixel", {WEIGHTS: LORA, "README.md": b""}, base_model=DEMO)

        found = look_up(hub, "ada/pixel")

        assert found == FoundAdapter(
            ref="ada/pixel",
            source=AdapterSource.HUB,
            repository="ada/pixel",
            commit=commit,
            weight_name=WEIGHTS,
            sha256=hashlib.sha256(LORA).hexdigest(),
            size_bytes=len(LORA),
            base_names=(DEMO,),
        )

    def test_a_revision_is_a_branch_or_a_commit(self, hub: HubServer) -> None:
        first = hub.add_repository("ada/pixel", {WEIGHTS: LORA}, base_model=DEMO)
        hub.push("ada/pixel", {WEIGHTS: OTHER_LORA})
        draft = hub.push("ada/pixel", {WEIGHTS: OTHER_LORA}, branch="refs/pr/1")

        assert look_up(hub, f"ada/pixel@{first}").commit == first
        assert look_up(hub, "ada/pixel@refs/pr/1").commit == draft

    @pytest.mark.parametrize(
        ("base_model", "tags", "expected"),
        [
            ("Stokehold/Demo", ["lora"], ("Stokehold/Demo",)),
            (["somebody/mix", DEMO], ["lora"], ("somebody/mix", DEMO)),
            (None, ["lora", f"base_model:adapter:{DEMO}"], (DEMO,)),
            (None, ["lora"], ()),
        ],
    )
    def test_the_base_model_is_named_by_the_card_once_or_in_a_list_or_by_a_tag(
        self, hub: HubServer, base_model: str | list[str] | None, tags: list[str], expected: tuple[str, ...]
    ) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: LORA}, base_model=base_model, tags=tags)

        assert look_up(hub, "ada/pixel").base_names == expected

    @pytest.mark.parametrize(
        ("files", "ref", "expected"),
        [
            ([WEIGHTS, "other.safetensors"], "ada/pixel", WEIGHTS),
            (["pixel.safetensors", "pixel.bin"], "ada/pixel", "pixel.safetensors"),
            ([WEIGHTS, "v2/pixel.safetensors"], "ada/pixel:v2/pixel.safetensors", "v2/pixel.safetensors"),
        ],
    )
    def test_the_file_is_the_named_one_else_the_usual_one_else_the_only_one(
        self, hub: HubServer, files: list[str], ref: str, expected: str
    ) -> None:
        hub.add_repository("ada/pixel", dict.fromkeys(files, LORA), base_model=DEMO)

        assert look_up(hub, ref).weight_name == expected

    @pytest.mark.parametrize(
        ("files", "ref", "error", "message"),
        [
            (["a.safetensors", "b.safetensors"], "ada/pixel", AdapterNotUsable, "Choose one: ada/pixel:a.safetensors"),
            (["a.safetensors"], "ada/pixel:c.safetensors", AdapterNotFound, "no file 'c.safetensors'; it has a.safe"),
            (["pixel.bin"], "ada/pixel", AdapterNotUsable, "only pickles, which may run code"),
            (["README.md"], "ada/pixel", AdapterNotUsable, "must hold a safetensors file; it holds none"),
        ],
    )
    def test_without_one_certain_safetensors_file_the_adapter_is_refused(
        self, hub: HubServer, files: list[str], ref: str, error: type[Exception], message: str
    ) -> None:
        hub.add_repository("ada/pixel", dict.fromkeys(files, LORA), base_model=DEMO)

        with pytest.raises(error, match=message):
            look_up(hub, ref)

    def test_the_tag_tells_what_the_author_calls_it(self, hub: HubServer) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: LORA}, base_model=DEMO, tags=["diffusers"])

        assert not look_up(hub, "ada/pixel").is_tagged

    def test_a_gated_repository_is_refused_even_if_the_token_of_the_service_opens_it(self, hub: HubServer) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: LORA}, base_model=DEMO, gated="manual")

        with pytest.raises(AdapterNotUsable, match="ada/pixel is gated"):
            look_up(hub, "ada/pixel", token=hub.TOKEN)

    @pytest.mark.parametrize("with_token", [False, True])
    def test_a_private_repository_looks_like_one_that_does_not_exist(self, hub: HubServer, with_token: bool) -> None:
        hub.add_repository("ada/secret", {WEIGHTS: LORA}, base_model=DEMO, private=True)
        token = hub.TOKEN if with_token else False

        with pytest.raises(AdapterNotFound) as private:
            look_up(hub, "ada/secret", token=token)
        with pytest.raises(AdapterNotFound) as missing:
            look_up(hub, "ada/missing", token=token)

        assert str(private.value) == str(missing.value).replace("missing", "secret")

    @pytest.mark.parametrize("ref", ["ada/secret@v9", "ada/secret:no.safetensors"])
    def test_nor_does_a_part_of_it_that_is_missing_betray_it(self, hub: HubServer, ref: str) -> None:
        hub.add_repository("ada/secret", {WEIGHTS: LORA}, base_model=DEMO, private=True)

        with pytest.raises(AdapterNotFound, match="The Hub has no public repository ada/secret"):
            look_up(hub, ref, token=hub.TOKEN)

    def test_who_is_allowed_to_sees_a_private_repository_that_the_token_opens(self, hub: HubServer) -> None:
        commit = hub.add_repository("ada/secret", {WEIGHTS: LORA}, base_model=DEMO, private=True)

        assert look_up(hub, "ada/secret", token=hub.TOKEN, allow_private=True).commit == commit
        with pytest.raises(AdapterNotFound, match="no public repository"):
            look_up(hub, "ada/secret", allow_private=True)

    def test_a_revision_that_does_not_exist_is_not_found(self, hub: HubServer) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: LORA}, base_model=DEMO)

        with pytest.raises(AdapterNotFound, match="no revision 'v9'"):
            look_up(hub, "ada/pixel@v9")

    def test_a_token_that_the_hub_refuses_is_the_operators_affair(self, hub: HubServer) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: LORA}, base_model=DEMO)

        with pytest.raises(HubUnavailable, match="should renew HF_TOKEN"):
            look_up(hub, "ada/pixel", token="hf_expired")

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (401, AdapterNotUsable),
            (403, AdapterNotUsable),
            (404, AdapterNotFound),
            (429, HubUnavailable),
            (500, HubUnavailable),
            (503, HubUnavailable),
        ],
    )
    def test_each_status_of_the_hub_has_its_meaning(self, hub: HubServer, status: int, error: type[Exception]) -> None:
        hub.fail(status)

        with pytest.raises(error):
            look_up(hub, "ada/pixel")

        assert hub.count("GET", "/api/models/ada/pixel") == 1

    @pytest.mark.parametrize("sha", ["", "main", "0" * 39])
    def test_a_commit_that_is_not_one_is_the_operators_affair(self, hub: HubServer, sha: str) -> None:
        hub.fail(200, body=json.dumps({"id": "ada/pixel", "sha": sha, "siblings": [{"rfilename": WEIGHTS}]}).encode())

        with pytest.raises(HubUnavailable, match="should check HF_ENDPOINT"):
            look_up(hub, "ada/pixel")

    def test_an_answer_that_is_none_of_a_hub_s_is_the_operators_affair(self, hub: HubServer) -> None:
        hub.fail(200)

        with pytest.raises(HubUnavailable, match="should check HF_ENDPOINT"):
            look_up(hub, "ada/pixel")

    def test_a_hub_that_is_down_is_unavailable(self) -> None:
        with HubServer() as hub:
            pass

        with pytest.raises(HubUnavailable, match="Try again later"):
            look_up(hub, "ada/pixel")

    @pytest.mark.parametrize("named", [7, [7, {"a": "b"}], {"a": "b"}, "a" * 1_000, ["a" * 1_000], [["a"]]])
    def test_a_card_that_names_no_base_model_says_nothing_of_it(self, hub: HubServer, named: Any) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: LORA}, base_model=named)

        assert look_up(hub, "ada/pixel").base_names == ()

    @pytest.mark.parametrize(
        "header",
        [
            json.dumps({f"k{number}": {"dtype": "F32"} for number in range(140_000)}).encode(),
            b"[" * 1_000_000,
            b'{"a":' * 20_000,
        ],
        ids=["many tensors", "deep lists", "deep objects"],
    )
    def test_a_header_out_of_bounds_is_refused(self, hub: HubServer, header: bytes) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: len(header).to_bytes(8, "little") + header})

        with pytest.raises(AdapterNotUsable):
            AdapterHub(api=HfApi(endpoint=hub.url, token=False)).read_header(look_up(hub, "ada/pixel"))

    def test_a_header_that_trickles_is_given_up_on(self, hub: HubServer) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: LORA})
        found = look_up(hub, "ada/pixel")

        with hub.trickling(0.05), pytest.raises(HubUnavailable, match="too slowly"):
            AdapterHub(api=HfApi(endpoint=hub.url, token=False), timeout_s=0.2).read_header(found)

    def test_a_hub_that_accepts_and_says_nothing_is_given_up_on(self, hub: HubServer) -> None:
        with hub.silent(), pytest.raises(HubUnavailable, match="timed out"):
            look_up(hub, "ada/pixel", timeout_s=0.2)


class TestFetching:
    @pytest.fixture
    def pixel(self, hub: HubServer) -> ResolvedAdapter:
        hub.add_repository("ada/pixel", {WEIGHTS: LORA}, base_model=DEMO)
        return resolve(hub, "ada/pixel")

    def test_the_file_is_fetched_once_and_then_comes_from_the_cache_without_a_word_to_the_hub(
        self, hub: HubServer, pixel: ResolvedAdapter, cache: Path
    ) -> None:
        path = fetch_from(hub, pixel, cache)
        requests = len(hub.requests)

        assert path.read_bytes() == LORA
        assert fetch_from(hub, pixel, cache) == path
        assert len(hub.requests) == requests

    def test_a_branch_that_moves_on_does_not_change_what_a_job_gets(
        self, hub: HubServer, pixel: ResolvedAdapter, cache: Path
    ) -> None:
        hub.push("ada/pixel", {WEIGHTS: OTHER_LORA})

        assert fetch_from(hub, pixel, cache).read_bytes() == LORA
        assert fetch_from(hub, resolve(hub, "ada/pixel"), cache).read_bytes() == OTHER_LORA

    def test_a_download_that_breaks_off_is_resumed(self, hub: HubServer, pixel: ResolvedAdapter, cache: Path) -> None:
        hub.cut_downloads(len(LORA) // 2)

        assert fetch_from(hub, pixel, cache).read_bytes() == LORA
        assert hub.count("GET", "/resolve/") == 2

    def test_a_hub_that_stumbles_is_asked_again(self, hub: HubServer, pixel: ResolvedAdapter, cache: Path) -> None:
        hub.fail(503)

        assert fetch_from(hub, pixel, cache).read_bytes() == LORA

    def test_a_hub_that_is_down_fails_the_job(
        self, hub: HubServer, pixel: ResolvedAdapter, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("time.sleep", lambda _: None)  # the client would wait 23 s between its tries
        hub.stop()

        with pytest.raises(AdapterUnavailable, match=r"did not deliver ada/pixel@.*Submit the job again later"):
            fetch_from(hub, pixel, cache)

    def test_a_hub_that_is_down_does_not_matter_to_what_is_in_the_cache(
        self, hub: HubServer, pixel: ResolvedAdapter, cache: Path
    ) -> None:
        path = fetch_from(hub, pixel, cache)
        hub.stop()

        assert fetch_from(hub, pixel, cache) == path

    def test_a_download_that_never_gets_through_fails_the_job_and_leaves_nothing_in_the_cache(
        self, hub: HubServer, pixel: ResolvedAdapter, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("time.sleep", lambda _: None)  # the client would wait 1 s between its tries
        hub.cut_downloads(*[0] * 6)

        with pytest.raises(AdapterUnavailable, match="Submit the job again later"):
            fetch_from(hub, pixel, cache)

        assert [path for path in cache.rglob("*") if path.suffix in {".safetensors", ".incomplete"}] == []

    def test_a_repository_that_was_removed_since_fails_the_job(
        self, hub: HubServer, pixel: ResolvedAdapter, cache: Path
    ) -> None:
        hub.remove_repository("ada/pixel")

        with pytest.raises(AdapterFetchFailed, match="removed, made private or gated"):
            fetch_from(hub, pixel, cache)

    def test_a_repository_that_was_gated_since_fails_the_job(
        self, hub: HubServer, pixel: ResolvedAdapter, cache: Path
    ) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: LORA}, base_model=DEMO, gated="auto")

        with pytest.raises(AdapterFetchFailed, match="removed, made private or gated"):
            fetch_from(hub, pixel, cache)

    def test_a_cache_that_cannot_be_written_fails_the_job_and_names_the_setting(
        self, hub: HubServer, pixel: ResolvedAdapter, tmp_path: Path
    ) -> None:
        not_a_folder = tmp_path / "file"
        not_a_folder.touch()

        with pytest.raises(AdapterUnavailable, match="cannot store"):
            fetch_from(hub, pixel, not_a_folder)


class TestTheUsualSettings:
    """The client's own environment variables work as everybody expects; it reads them when it is imported."""

    SCRIPT = """
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.lookup.hub import AdapterHub
from tasks.adapters.file.reference import AdapterReference
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.no_downloads import NO_DOWNLOADS
from tests.support.no_storage import NO_STORAGE
from workers.adapters.fetch import fetch

adapter = AdapterHub().look_up(AdapterReference.parse("ada/pixel")).resolved("demo")
print(fetch(adapter, AdapterFolders((), DEMO_AND_SDXL), NO_STORAGE, NO_DOWNLOADS))
"""

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", self.SCRIPT]
        return subprocess.run(
            command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False
        )

    def test_endpoint_and_cache(self, hub: HubServer, cache: Path) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: LORA}, base_model=DEMO)

        run = self.run(HF_ENDPOINT=hub.url, HF_HUB_CACHE=str(cache), HF_TOKEN=hub.TOKEN)

        path = Path(run.stdout.strip())
        assert path.is_relative_to(cache)
        assert path.read_bytes() == LORA

    def test_token(self, hub: HubServer, cache: Path) -> None:
        run = self.run(HF_ENDPOINT=hub.url, HF_HUB_CACHE=str(cache), HF_TOKEN="hf_expired")

        assert "should renew HF_TOKEN" in run.stderr

    def test_offline(self, hub: HubServer, cache: Path) -> None:
        run = self.run(HF_ENDPOINT=hub.url, HF_HUB_CACHE=str(cache), HF_HUB_OFFLINE="1")

        assert "HubUnavailable" in run.stderr
        assert "HF_HUB_OFFLINE" in run.stderr
        assert hub.requests == []
