"""Adapters from our own storage, on a real pipeline."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import scan_cache_dir
from PIL import Image

from tasks.adapters.catalogue.entry import CatalogueAdapter, Entry
from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.errors import AdapterFetchFailed
from tasks.jobs.images import manifest_key
from tasks.jobs.job import Job, Status
from tasks.replay import read_manifest, request_of
from tasks.requests.job import JobRequest
from tasks.service import Service
from tests.support.loras import write_noise
from tests.support.services import make_service
from tests.support.warm_workers import warm_worker
from workers.adapters.disk_cache import DiskCache
from workers.adapters.stored import cached_repository, fetch_from_storage
from workers.worker import Worker

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    service = make_service(tmp_path, **servers)
    write_noise(tmp_path / "loras", 1)
    return service


@pytest.fixture
def entry(service: Service, tmp_path: Path) -> CatalogueAdapter:
    """The same file as that of the folder."""
    body = (tmp_path / "loras" / "noise1.safetensors").read_bytes()
    return service.registrations.register_file(Entry(name="sent", base_model="demo"), io.BytesIO(body), None)


@pytest.fixture
def adapter(entry: CatalogueAdapter) -> ResolvedAdapter:
    return entry.found.resolved(entry.slug)


@pytest.fixture
def worker(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr("workers.worker.HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return warm_worker(service)


def drawn(service: Service, worker: Worker, ref: str) -> Job:
    request = {"prompt": "a red circle", "steps": 2, "seed": 7, "adapters": [{"ref": ref}]}
    job = service.submissions.submit(JobRequest.model_validate(request))
    worker.runner(job.id)
    return service.store.get(job.id)


def test_it_draws_as_the_same_file_in_a_folder(
    service: Service, worker: Worker, entry: CatalogueAdapter, tmp_path: Path
) -> None:
    sent, local = drawn(service, worker, entry.name), drawn(service, worker, "noise1")

    assert sent.status is Status.SUCCEEDED
    assert sent.result.adapter_files == local.result.adapter_files == (entry.found.sha256,)
    first, second = (service.storage.get(job.result.images[0].key or "") for job in (sent, local))
    assert Image.open(io.BytesIO(first)).tobytes() == Image.open(io.BytesIO(second)).tobytes()
    (repository,) = scan_cache_dir(tmp_path / "cache").repos
    assert repository.repo_id.startswith("stokehold/")


def test_nothing_that_is_shown_says_where_its_file_lies_and_its_owner_draws_it_again(
    service: Service, worker: Worker, entry: CatalogueAdapter
) -> None:
    first = drawn(service, worker, entry.name)
    again = service.submissions.replay(first)
    worker.runner(again.id)

    image = service.storage.get(first.result.images[0].key or "")
    done = service.store.get(again.id)
    shown = [
        service.records.of(done).model_dump_json(),
        service.storage.get(manifest_key(first.lease)).decode(),
        read_manifest(image).model_dump_json(),
        service.catalogue_list.detail(entry.name, None).model_dump_json(),
        json.dumps(request_of(read_manifest(image).spec)),
    ]

    assert [text for text in shown if "adapters/" in text or "object_key" in text] == []
    assert request_of(read_manifest(image).spec)["adapters"] == [{"ref": entry.name, "scale": 1.0}]
    assert done.result.replay is not None
    assert done.result.replay.identical is True


def test_it_is_downloaded_once_and_goes_with_the_others_when_there_is_no_room(
    service: Service, adapter: ResolvedAdapter, tmp_path: Path
) -> None:
    first = fetch_from_storage(adapter, service.storage, tmp_path / "cache", 10**9)
    service.storage.delete("adapters/")
    again = fetch_from_storage(adapter, service.storage, tmp_path / "cache", 10**9)
    DiskCache(tmp_path / "cache", 10**9).note_use(cached_repository(adapter, first), first)
    DiskCache(tmp_path / "cache", 0, clock=lambda: 10**10).make_room()

    assert first == again
    assert not first.exists()


def test_a_file_that_is_gone_or_too_large_is_said(service: Service, adapter: ResolvedAdapter, tmp_path: Path) -> None:
    with pytest.raises(AdapterFetchFailed, match="takes at most 10"):
        fetch_from_storage(adapter, service.storage, tmp_path / "cache", 10)
    service.storage.delete("adapters/")
    with pytest.raises(AdapterFetchFailed, match="is missing"):
        fetch_from_storage(adapter, service.storage, tmp_path / "cache", 10**9)


def test_a_file_with_another_checksum_is_refused_and_not_kept(
    service: Service, adapter: ResolvedAdapter, tmp_path: Path
) -> None:
    service.storage.put(adapter.object_key or "", b"another", content_type="application/octet-stream")

    with pytest.raises(AdapterFetchFailed, match="not the one that was announced"):
        fetch_from_storage(adapter, service.storage, tmp_path / "cache", 10**9)

    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_pinned_adapters_and_those_used_last_are_in_memory_before_a_job_asks(
    service: Service, worker: Worker, entry: CatalogueAdapter
) -> None:
    service.submissions.submit(JobRequest.model_validate({"prompt": "a", "adapters": [{"ref": "noise1"}]}))
    service.catalogue.pin(entry)

    worker.preloader.keep_pinned()
    with_pinned = worker.runner.stages.adapters.bytes
    worker.preloader.load_used()

    assert 0 < with_pinned < worker.runner.stages.adapters.bytes
    assert {key[0] for key in worker.runner.stages.adapters._kept} == {AdapterSource.UPLOAD}
