"""Adapters at addresses: pinned by their headers, read once by a worker, and held to what they were then."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pydantic import SecretStr

from api import create_app
from tasks.adapters.file.address import FileAddress
from tasks.adapters.file.identity import FoundAdapter, ResolvedAdapter
from tasks.adapters.lookup.addressed import MAX_AT_ONCE, AddressedAdapters
from tasks.adapters.lookup.addressed_files import tokens_of
from tasks.adapters.lookup.resolver import ANONYMOUS
from tasks.errors import (
    AdapterFetchFailed,
    AdapterNotFound,
    AdapterNotUsable,
    AdapterUnavailable,
    ConfigurationError,
    InvalidRequest,
    ServiceUnavailable,
    SourceUnavailable,
    TooManyTransfers,
)
from tasks.outbound.file_source import FileSources
from tasks.outbound.public_addresses import IPAddress
from tasks.service import Service
from tests.support.batches import plan_batches, record_batch
from tests.support.file_server import FileServer, serving_files
from tests.support.safetensors_files import lora_bytes
from tests.support.services import make_service
from tests.support.waiting import wait_until
from workers.activity import NoteProgress
from workers.adapters.addressed import AddressedDownloads, fetch_from_address
from workers.adapters.hub_download import DownloadBounds, DownloadWatch

LORA = lora_bytes(metadata={"ss_base_model_version": "demo/base", "modelspec.trigger_phrase": "pxl"})
SHA256 = hashlib.sha256(LORA).hexdigest()
OTHER = LORA[:-1] + bytes([LORA[-1] ^ 1])
"""The same header and size, and another value."""
MAX_BYTES = 10**6


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Iterator[Service]:
    service = make_service(
        tmp_path,
        **servers,
        adapter_allow_loopback=True,
        adapter_max_bytes=MAX_BYTES,
        adapter_s3_prefixes=f"s3://{servers['s3_bucket']}/adapters/",
        resolution_ttl_s=0,
    )
    with service.valkey, service.celery:
        yield service


@pytest.fixture
def host() -> Iterator[FileServer]:
    with serving_files({"/pixel.safetensors": LORA}) as server:
        yield server


def look_up(service: Service, ref: str) -> FoundAdapter:
    return service.resolver.look_up(ref, ANONYMOUS)


def resolve(service: Service, ref: str) -> ResolvedAdapter:
    return look_up(service, ref).resolved("demo")


def fetch(service: Service, adapter: ResolvedAdapter, cache: Path, note_progress: NoteProgress = lambda: None) -> Path:
    downloads = AddressedDownloads(service.addressed_files, service.checksums)
    watch = DownloadWatch(DownloadBounds(), note_progress)
    return fetch_from_address(adapter, downloads, cache, MAX_BYTES, watch)


def test_the_header_alone_is_read_and_names_base_and_trigger_words(service: Service, host: FileServer) -> None:
    passport = service.resolver.inspect(f"{host.url}/pixel.safetensors")

    assert (passport.source, passport.weight_name) == ("address", "pixel.safetensors")
    assert (passport.base_model, passport.trigger_words) == ("demo", ("pxl",))
    assert (passport.size_bytes, passport.sha256) == (len(LORA), None)
    assert {headers["range"] for _, headers in host.requests} == {"bytes=0-99999"}


def test_what_a_worker_has_read_is_pinned_to_its_sha256_from_then_on(
    service: Service, host: FileServer, tmp_path: Path
) -> None:
    ref = f"{host.url}/pixel.safetensors"
    first = resolve(service, ref)
    progress: list[None] = []

    path = fetch(service, first, tmp_path, lambda: progress.append(None))
    again = resolve(service, ref)

    assert path.read_bytes() == LORA
    assert progress
    assert first.sha256 is None
    assert (again.sha256, again.commit) == (SHA256, SHA256)
    host.files.clear()
    assert fetch(service, first, tmp_path) == fetch(service, again, tmp_path) == path


def test_an_address_may_pin_its_content(service: Service, host: FileServer, tmp_path: Path) -> None:
    right = resolve(service, f"{host.url}/pixel.safetensors#sha256={SHA256.upper()}")
    wrong = resolve(service, f"{host.url}/pixel.safetensors#sha256={'0' * 64}")

    assert (right.sha256, right.commit) == (SHA256, SHA256)
    assert fetch(service, right, tmp_path).read_bytes() == LORA
    with pytest.raises(AdapterFetchFailed, match="not the one that the job was submitted with"):
        fetch(service, wrong, tmp_path)


@pytest.mark.parametrize("content", [OTHER, lora_bytes(rank=8), LORA + bytes(1), LORA[:-1], b""])
def test_a_file_that_has_changed_fails_with_a_sentence(
    service: Service, host: FileServer, tmp_path: Path, content: bytes
) -> None:
    adapter = resolve(service, f"{host.url}/pixel.safetensors")
    host.files["/pixel.safetensors"] = content

    with pytest.raises(AdapterFetchFailed):
        fetch(service, adapter, tmp_path / "cache")

    assert list(tmp_path.glob("cache/**/*")) == []


def test_what_is_known_of_a_version_holds_for_every_worker(service: Service, host: FileServer, tmp_path: Path) -> None:
    adapter = resolve(service, f"{host.url}/pixel.safetensors")
    service.checksums.note(adapter.commit, "1" * 64)

    with pytest.raises(AdapterFetchFailed, match="not the one that the job was submitted with"):
        fetch(service, adapter, tmp_path)


def test_another_server_cannot_answer_for_a_file(service: Service, host: FileServer) -> None:
    with serving_files({"/pixel.safetensors": LORA}) as other:
        assert look_up(service, f"{host.url}/pixel.safetensors").commit != (
            look_up(service, f"{other.url}/pixel.safetensors").commit
        )


def test_a_download_that_redirects_to_a_signed_address_works_with_the_token_of_its_host(
    service: Service, host: FileServer, tmp_path: Path
) -> None:
    with serving_files() as portal:
        path = "/api/download/models/12345?type=Model&format=SafeTensor"
        portal.redirects[path] = f"{host.url}/pixel.safetensors?X-Amz-Signature=abc"
        adapter = resolve(service, f"{portal.url}{path}")

        assert adapter.weight_name == "adapter.safetensors"
        assert fetch(service, adapter, tmp_path).read_bytes() == LORA


def test_a_server_that_knows_no_ranges_is_left_after_the_beginning(service: Service, host: FileServer) -> None:
    host.knows_ranges = False

    assert look_up(service, f"{host.url}/pixel.safetensors").size_bytes == len(LORA)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, AdapterNotFound),
        (410, AdapterNotFound),
        (401, AdapterNotUsable),
        (403, AdapterNotUsable),
        (429, SourceUnavailable),
        (500, SourceUnavailable),
    ],
)
def test_each_status_has_its_meaning(
    service: Service, host: FileServer, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    adapter = resolve(service, f"{host.url}/pixel.safetensors")
    host.statuses["/pixel.safetensors"] = status

    with pytest.raises(error):
        look_up(service, f"{host.url}/pixel.safetensors")
    with pytest.raises(AdapterUnavailable if error is SourceUnavailable else AdapterFetchFailed):
        fetch(service, adapter, tmp_path)


def test_a_page_is_no_adapter(service: Service, host: FileServer) -> None:
    host.files["/login"] = b"<!doctype html><title>Log in</title>"

    with pytest.raises(AdapterNotUsable, match="not a complete safetensors file"):
        look_up(service, f"{host.url}/login")


def test_a_file_that_is_too_large_is_rejected_and_not_downloaded(
    service: Service, host: FileServer, tmp_path: Path
) -> None:
    large = lora_bytes(rank=MAX_BYTES // 64)
    host.files["/large.safetensors"] = large
    ref = f"{host.url}/large.safetensors"

    assert f"takes at most {MAX_BYTES}" in service.resolver.inspect(ref).reason
    with pytest.raises(AdapterFetchFailed, match=f"takes at most {MAX_BYTES}"):
        fetch(service, resolve(service, ref), tmp_path)


def test_a_key_in_storage_is_taken_where_the_operator_allows_it(service: Service, tmp_path: Path) -> None:
    bucket = service.settings.s3_bucket
    for key in ("adapters/deep folder/水彩.safetensors", "other/pixel.safetensors"):
        service.storage.put(key, LORA, content_type="application/octet-stream")

    adapter = resolve(service, f"s3://{bucket}/adapters/deep folder/水彩.safetensors")

    assert adapter.weight_name == "水彩.safetensors"
    assert fetch(service, adapter, tmp_path).read_bytes() == LORA
    with pytest.raises(AdapterNotFound):
        look_up(service, f"s3://{bucket}/adapters/missing.safetensors")
    with pytest.raises(InvalidRequest, match="takes no adapters from there"):
        look_up(service, f"s3://{bucket}/other/pixel.safetensors")


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        ("http://example.com/a.safetensors", "https alone"),
        ("https://10.0.0.1/a.safetensors", "not an address of the public internet"),
        ("https://example.com/a.safetensors#main", "sha256="),
        ("s3://bucket/../a.safetensors", "takes no adapters from there"),
        ("s3://bucket/a.ckpt", "ends in .safetensors"),
        ("s3://", "ends in .safetensors"),
    ],
)
def test_what_is_refused_is_a_problem_of_its_field_at_every_door(service: Service, ref: str, reason: str) -> None:
    client = create_app(service).test_client()

    for path, body, name in (
        ("/v1/jobs", {"prompt": "p", "adapters": [{"ref": ref}]}, "adapters.0.ref"),
        ("/v1/adapters/inspect", {"ref": ref}, "ref"),
        ("/v1/adapters", {"name": "ours", "ref": ref}, "ref"),
    ):
        answer = client.post(path, json=body)
        assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert answer.get_json()["errors"][0]["field"] == name
        assert reason in answer.get_json()["detail"]


def test_a_job_and_an_entry_of_the_catalogue_take_addresses(service: Service, host: FileServer) -> None:
    client = create_app(service).test_client()
    ref = f"{host.url}/pixel.safetensors"

    job = client.post("/v1/jobs", json={"prompt": "pxl", "adapters": [{"ref": ref}]})
    entry = client.post("/v1/adapters", json={"name": "ours", "ref": ref})

    assert job.status_code == HTTPStatus.ACCEPTED, job.text
    assert job.get_json()["adapters"][0]["ref"] == ref
    assert entry.status_code == HTTPStatus.CREATED, entry.text
    assert service.resolver.admit("ours").adapter.repository == ref


def test_a_server_that_is_down_is_a_problem_of_the_moment(service: Service) -> None:
    client = create_app(service).test_client()
    with serving_files() as down:
        pass

    answer = client.post("/v1/adapters/inspect", json={"ref": f"{down.url}/a.safetensors"})

    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.get_json()["type"] == "urn:stokehold:problem:source_unavailable"


def test_slow_servers_hold_few_readers_and_the_next_one_is_told_at_once(service: Service, host: FileServer) -> None:
    going_on, begun = Event(), list[str]()

    def silent(name: str, seconds: float) -> list[IPAddress]:
        begun.append(name)
        going_on.wait(seconds)
        return []

    web = FileSources(("*",), allow_loopback=True, resolve=silent)
    slow = AddressedAdapters(replace(service.addressed_files, web=web), service.checksums)
    address = FileAddress(f"{host.url}/pixel.safetensors")

    with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
        asked = [pool.submit(slow.look_up, address) for _ in range(MAX_AT_ONCE)]
        wait_until(lambda: len(begun) == MAX_AT_ONCE)
        assert refused(slow, address)
        going_on.set()
        wait(asked)

    assert not refused(slow, address)


def refused(adapters: AddressedAdapters, address: FileAddress) -> bool:
    """Return whether too many headers are being read."""
    with pytest.raises(ServiceUnavailable) as error:
        adapters.look_up(address)
    return isinstance(error.value, TooManyTransfers)


def test_a_batch_does_not_wait_for_a_server_that_is_down(service: Service) -> None:
    with serving_files() as down:
        pass
    line = {"custom_id": "1", "prompt": "p", "adapters": [{"ref": f"{down.url}/a.safetensors"}]}
    batch = record_batch(service, json.dumps(line).encode())

    plan_batches(service)

    planned = service.batches.get(batch.id)
    assert planned.status == "failed"
    assert "does not answer. Send the line again later." in planned.errors[0].message


def test_tokens_are_of_hosts_and_are_never_shown(service: Service) -> None:
    tokens = tokens_of(SecretStr("civitai.com=abc, Example.com=d=e"))

    assert {host: token.get_secret_value() for host, token in tokens.items()} == {
        "civitai.com": "abc",
        "example.com": "d=e",
    }
    assert "abc" not in repr(replace(service.addressed_files.web, tokens=tokens))
    with pytest.raises(ConfigurationError, match="host=token"):
        tokens_of(SecretStr("abc"))
