"""What one process has read of the adapter folders, no other reads again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.lookup.file_memory import SharedMemory
from tasks.adapters.lookup.folder import MAX_READ, UNREAD, AdapterFolders
from tasks.valkey import Valkey, connect
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.processes import bytes_read
from tests.support.safetensors_files import write_lora, write_sparse_lora

FOR_DEMO = {"stokehold.base_model": "demo"}
HUGE = 4 << 30
LITTLE = 4 << 20
"""Bytes: samples of a file, and what else this process reads."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(MAX_READ + 10):
        write_lora(tmp_path, f"style-{number:03}", metadata=FOR_DEMO)
    return tmp_path


def another_process(folder: Path, valkey: Valkey) -> AdapterFolders:
    """The folders as a process sees them that has read nothing."""
    return AdapterFolders([folder], DEMO_AND_SDXL, SharedMemory(valkey))


def test_a_list_reads_some_files_and_says_of_the_others_that_they_are_not_read(folder: Path, valkey: Valkey) -> None:
    first = another_process(folder, valkey).listing()

    assert len(first.adapters) == MAX_READ
    assert [one.reason for one in first.left_out] == [UNREAD] * 10
    assert [one.name for one in first.left_out] == [f"style-{MAX_READ + number:03}" for number in range(10)]

    second = another_process(folder, valkey).listing()
    assert (len(second.adapters), second.left_out) == (MAX_READ + 10, ())


def test_what_one_process_has_read_another_lists_without_reading(folder: Path, valkey: Valkey) -> None:
    first = another_process(folder, valkey).listing(max_read=1000)

    assert another_process(folder, valkey).listing(max_read=0) == first


def test_a_file_or_sidecar_that_has_changed_is_read_again_by_every_process(tmp_path: Path, valkey: Valkey) -> None:
    write_lora(tmp_path, "pixel", metadata=FOR_DEMO)
    running = another_process(tmp_path, valkey)
    assert [adapter.rank for adapter in running.adapters()] == [4]

    write_lora(tmp_path, "pixel", metadata=FOR_DEMO, rank=8)
    assert [adapter.rank for adapter in running.adapters()] == [8]

    write_lora(tmp_path, "pixel", metadata=FOR_DEMO, rank=8, sidecar="rank = 16\n")
    assert [adapter.rank for adapter in running.adapters()] == [16]
    assert [adapter.rank for adapter in another_process(tmp_path, valkey).adapters()] == [16]


def test_the_first_use_of_a_huge_file_reads_little_of_it(tmp_path: Path, valkey: Valkey) -> None:
    write_sparse_lora(tmp_path, "huge", size_bytes=HUGE, metadata=FOR_DEMO)
    before = bytes_read()

    folders = another_process(tmp_path, valkey)
    (listed,) = folders.adapters()
    found = folders.look_up(AdapterReference("huge"))

    assert bytes_read() - before < LITTLE
    assert (listed.sha256, found.sha256) == (None, None)
    assert found.size_bytes == listed.size_bytes > HUGE - 2000


def test_the_checksum_that_a_worker_has_taken_is_shown_and_taken_once(tmp_path: Path, valkey: Valkey) -> None:
    path = write_sparse_lora(tmp_path, "style", size_bytes=32 << 20, metadata=FOR_DEMO)
    worker, api = another_process(tmp_path, valkey), another_process(tmp_path, valkey)

    sha256 = worker.sha256_of(path)
    before = bytes_read()

    assert [adapter.sha256 for adapter in api.adapters()] == [sha256]
    assert api.look_up(AdapterReference("style")).sha256 == sha256
    assert another_process(tmp_path, valkey).sha256_of(path) == sha256
    assert bytes_read() - before < LITTLE

    write_sparse_lora(tmp_path, "style", size_bytes=16 << 20, metadata=FOR_DEMO)
    assert [adapter.sha256 for adapter in api.adapters()] == [None]
    assert worker.sha256_of(path) != sha256


def test_nothing_is_read_at_start(folder: Path, valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "broken.safetensors").write_bytes(b"not a header")

    folders = another_process(folder, valkey)
    assert caplog.records == []

    assert [one.name for one in folders.listing(max_read=1000).left_out] == ["broken"]
    assert "broken.safetensors is left out" in caplog.text


def test_a_reading_of_another_version_is_read_anew(tmp_path: Path, valkey: Valkey) -> None:
    write_lora(tmp_path, "pixel", metadata=FOR_DEMO)
    listed = another_process(tmp_path, valkey).adapters()
    for key in valkey.keys("stokehold:file:*"):
        assert valkey.ttl(key) > 0
        valkey.set(key, '{"record_version": 1000}')

    assert another_process(tmp_path, valkey).adapters() == listed


def test_a_round_of_the_light_worker_reads_what_is_new(folder: Path, valkey: Valkey) -> None:
    another_process(folder, valkey).read_new()

    listing = another_process(folder, valkey).listing(max_read=0)
    assert (len(listing.adapters), listing.left_out) == (MAX_READ + 10, ())


def test_without_valkey_a_worker_reads_a_file_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_lora(tmp_path, "pixel", metadata=FOR_DEMO)

    with connect("redis://127.0.0.1:1/0") as nothing:
        sha256 = another_process(tmp_path, nothing).sha256_of(path)

    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "another process may have read them" in caplog.text
