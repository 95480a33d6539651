"""A worker takes a local adapter only with the content that its job was submitted with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.errors import AdapterFetchFailed, AdapterUnavailable
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.no_downloads import NO_DOWNLOADS
from tests.support.no_storage import NO_STORAGE
from tests.support.safetensors_files import write_lora, write_sparse_lora
from workers.adapters.fetch import fetch

FOR_DEMO = 'base_model = "stokehold/demo"'


@pytest.fixture
def pixel(tmp_path: Path) -> Path:
    return write_lora(tmp_path, "pixel", sidecar=FOR_DEMO, rank=4)


@pytest.fixture
def folders(pixel: Path) -> AdapterFolders:
    return AdapterFolders([pixel.parent], DEMO_AND_SDXL)


def test_the_file_is_used_where_it_lies(folders: AdapterFolders, pixel: Path) -> None:
    resolved = folders.look_up(AdapterReference("pixel")).resolved("demo")

    assert fetch(resolved, folders, NO_STORAGE, NO_DOWNLOADS) == pixel


def test_a_file_that_has_changed_since_fails_the_job(folders: AdapterFolders, pixel: Path) -> None:
    resolved = folders.look_up(AdapterReference("pixel")).resolved("demo")
    write_lora(pixel.parent, "pixel", rank=8)

    with pytest.raises(AdapterFetchFailed, match=r"has changed since the job was submitted. Submit the job again"):
        fetch(resolved, folders, NO_STORAGE, NO_DOWNLOADS)


def test_a_file_that_was_only_touched_is_still_the_same(folders: AdapterFolders, pixel: Path) -> None:
    resolved = folders.look_up(AdapterReference("pixel")).resolved("demo")
    pixel.touch()

    assert fetch(resolved, folders, NO_STORAGE, NO_DOWNLOADS) == pixel


def test_a_file_that_was_removed_since_fails_the_job(folders: AdapterFolders, pixel: Path) -> None:
    resolved = folders.look_up(AdapterReference("pixel")).resolved("demo")
    pixel.unlink()

    with pytest.raises(AdapterUnavailable, match="'pixel' is not in this worker's folders"):
        fetch(resolved, folders, NO_STORAGE, NO_DOWNLOADS)


def test_a_copy_on_another_machine_is_the_same_whatever_its_time(
    folders: AdapterFolders, pixel: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    copy = Path(shutil.copyfile(pixel, elsewhere / pixel.name))
    resolved = folders.look_up(AdapterReference("pixel")).resolved("demo")

    assert fetch(resolved, AdapterFolders([elsewhere], DEMO_AND_SDXL), NO_STORAGE, NO_DOWNLOADS) == copy


def test_where_the_checksum_is_known_it_decides_and_not_a_sample(tmp_path: Path) -> None:
    path = write_sparse_lora(tmp_path, "large", size_bytes=8 << 20, metadata={"stokehold.base_model": "demo"})
    folders = AdapterFolders([tmp_path], DEMO_AND_SDXL)
    found = folders.look_up(AdapterReference("large")).resolved("demo")
    pinned = found.model_copy(update={"sha256": folders.sha256_of(path)})
    path.touch()
    assert fetch(pinned, folders, NO_STORAGE, NO_DOWNLOADS) == path

    with path.open("r+b") as file:
        file.seek(3 << 20)
        file.write(b"x")

    with pytest.raises(AdapterFetchFailed, match="has changed since"):
        fetch(pinned, folders, NO_STORAGE, NO_DOWNLOADS)
