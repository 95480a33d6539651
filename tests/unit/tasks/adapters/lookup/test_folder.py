"""The catalogue of local adapters."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tasks.adapters.file.identity import AdapterSource, FolderAdapter, ResolvedAdapter
from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.file.sidecar import MAX_SIDECAR_BYTES, describe
from tasks.adapters.file.version import version_of
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.lookup.folder_files import MAX_DEPTH
from tasks.errors import AdapterNotFound, AdapterNotUsable, ConfigurationError
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.safetensors_files import lora_bytes, write_lora

LORA = lora_bytes()
FOR_DEMO = 'base_model = "stokehold/demo"\n'


def folders(*paths: Path) -> AdapterFolders:
    return AdapterFolders(paths, DEMO_AND_SDXL)


def names(catalogue: AdapterFolders) -> list[str]:
    return [adapter.name for adapter in catalogue.adapters()]


def test_an_adapter_is_described_by_its_sidecar(tmp_path: Path) -> None:
    sidecar = FOR_DEMO + 'rank = 8\ntrigger_words = ["pxl"]\ndescription = "Coarse pixels"\n'
    path = write_lora(tmp_path, "pixel", sidecar=sidecar, rank=4)

    adapters = folders(tmp_path).adapters()

    assert adapters == (
        FolderAdapter(
            name="pixel",
            title="pixel",
            base_model="demo",
            rank=8,
            trigger_words=("pxl",),
            description="Coarse pixels",
            size_bytes=path.stat().st_size,
            sha256=None,
        ),
    )


@pytest.mark.parametrize(
    ("metadata", "base_model"),
    [
        ({"stokehold.base_model": "demo"}, "demo"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "sdxl"),
        ({"ss_sd_model_name": "sd_xl_base_1.0.safetensors"}, "sdxl"),
        (
            {"ss_base_model_version": "unheard of", "ss_sd_model_name": "StabilityAI/stable-diffusion-xl-base-1.0"},
            "sdxl",
        ),
    ],
)
def test_without_a_sidecar_the_file_itself_names_its_base_model(
    tmp_path: Path, metadata: dict[str, str], base_model: str
) -> None:
    write_lora(tmp_path, "style", metadata=metadata)

    assert [adapter.base_model for adapter in folders(tmp_path).adapters()] == [base_model]


def test_trigger_words_and_description_are_read_from_the_header_too(tmp_path: Path) -> None:
    header = {"modelspec.trigger_phrase": "pxl, pixel art", "modelspec.description": "Coarse pixels"}
    write_lora(tmp_path, "pixel", sidecar=FOR_DEMO, metadata=header)

    (adapter,) = folders(tmp_path).adapters()

    assert (adapter.trigger_words, adapter.description) == (("pxl", "pixel art"), "Coarse pixels")


@pytest.mark.parametrize(
    "key",
    [
        "unet.to_q.lora_A.weight",
        "unet.to_q.lora_A.default.weight",
        "lora_unet_to_q.lora_down.weight",
        "unet.processor.to_q_lora.down.weight",
    ],
)
def test_the_rank_is_the_largest_of_the_low_rank_factors_whatever_their_names(tmp_path: Path, key: str) -> None:
    tensors = {f"a.{key}": np.ones((4, 64), np.float32), f"b.{key}": np.ones((16, 64), np.float32)}
    save_file(tensors, tmp_path / "pixel.safetensors", metadata={"stokehold.base_model": "demo"})

    assert [adapter.rank for adapter in folders(tmp_path).adapters()] == [16]


def test_an_adapter_without_low_rank_factors_has_no_rank(tmp_path: Path) -> None:
    tensors = {"lora_unet_to_q.lokr_w1": np.ones((4, 4), np.float32)}
    save_file(tensors, tmp_path / "lokr.safetensors", metadata={"stokehold.base_model": "demo"})

    assert [adapter.rank for adapter in folders(tmp_path).adapters()] == [None]


def test_a_name_is_resolved_to_the_version_of_its_file(tmp_path: Path) -> None:
    path = write_lora(tmp_path, "pixel", sidecar=FOR_DEMO)

    resolved = folders(tmp_path).look_up(AdapterReference("pixel")).resolved("demo")

    assert resolved == ResolvedAdapter(
        ref="pixel",
        source=AdapterSource.FOLDER,
        repository="pixel",
        commit=version_of(path),
        sha256=None,
        size_bytes=path.stat().st_size,
        weight_name="pixel.safetensors",
        base_model="demo",
    )
    assert ResolvedAdapter.model_validate_json(resolved.model_dump_json()) == resolved


def test_adapters_that_come_change_and_go_are_noticed_without_a_restart(tmp_path: Path) -> None:
    catalogue = folders(tmp_path)
    assert names(catalogue) == []

    path = write_lora(tmp_path, "pixel", sidecar=FOR_DEMO)
    before = catalogue.look_up(AdapterReference("pixel"))
    assert names(catalogue) == ["pixel"]

    write_lora(tmp_path, "pixel", sidecar='base_model = "sdxl"', rank=8)
    after = catalogue.look_up(AdapterReference("pixel"))
    assert (before.base_names, after.base_names) == (("stokehold/demo",), ("sdxl",))
    assert before.commit != after.commit

    path.unlink()
    assert names(catalogue) == []
    with pytest.raises(AdapterNotFound):
        catalogue.look_up(AdapterReference("pixel"))


def test_of_two_adapters_with_one_name_the_earlier_folder_s_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, rank in ((first, 4), (second, 8)):
        folder.mkdir()
        write_lora(folder, "pixel", sidecar=FOR_DEMO, rank=rank)

    catalogue = folders(first, second)

    assert [adapter.rank for adapter in catalogue.adapters()] == [4]
    assert catalogue.look_up(AdapterReference("pixel")).commit == version_of(first / "pixel.safetensors")


def test_a_bad_file_in_an_earlier_folder_does_not_silently_give_way_to_a_later_one(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        write_lora(folder, "pixel", sidecar=FOR_DEMO)
    (first / "pixel.safetensors").write_bytes(b"not a header")

    catalogue = folders(first, second)

    assert names(catalogue) == []
    with pytest.raises(AdapterNotUsable):
        catalogue.look_up(AdapterReference("pixel"))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"bad.safetensors": b"not a header"}, "not a complete safetensors file"),
        ({"bad.safetensors": LORA}, r'Write base_model = "..." into bad.toml'),
        ({"bad.safetensors": LORA, "bad.toml": b'base_model = "black-forest-labs/FLUX.1-dev"'}, "not served here"),
        ({"bad.safetensors": LORA, "bad.toml": b"base_model ="}, "not valid TOML"),
        ({"bad.safetensors": LORA, "bad.toml": b"\xff"}, "not valid TOML"),
        ({"bad.safetensors": LORA, "bad.toml": b'base_modell = "demo"'}, "bad.toml is wrong: base_modell"),
        ({"bad.safetensors": LORA, "bad.toml": b"rank = 0"}, "bad.toml is wrong: rank"),
        ({"Bad Name.safetensors": LORA, "Bad Name.toml": b"rank = 0"}, "Bad Name.toml is wrong: rank"),
        ({"bad.pt": b"a pickle"}, "is a pickle, which may run code when loaded. Convert it to safetensors"),
    ],
)
def test_one_bad_file_is_left_out_and_the_operator_is_told_once_which_and_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, files: dict[str, bytes], reason: str
) -> None:
    write_lora(tmp_path, "good", sidecar=FOR_DEMO)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    bad = tmp_path / next(iter(files))

    catalogue = folders(tmp_path)

    assert names(catalogue) == names(catalogue) == ["good"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"adapter {bad} is left out" in record.getMessage()
    assert reason in record.getMessage()


def test_who_asks_for_a_bad_file_by_name_is_told_why_it_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"not a header")

    with pytest.raises(AdapterNotUsable, match=r"bad\.safetensors is not a complete safetensors file") as refused:
        folders(tmp_path).look_up(AdapterReference("bad"))

    assert str(tmp_path) not in str(refused.value)


def test_a_file_that_was_still_being_copied_is_usable_once_it_is_whole(tmp_path: Path) -> None:
    path = write_lora(tmp_path, "pixel", sidecar=FOR_DEMO)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    catalogue = folders(tmp_path)
    assert names(catalogue) == []

    path.write_bytes(whole)

    assert names(catalogue) == ["pixel"]


def test_an_unknown_name_is_told_where_the_names_are(tmp_path: Path) -> None:
    with pytest.raises(AdapterNotFound, match="GET /v1/adapters"):
        folders(tmp_path).look_up(AdapterReference("nothing"))


def test_a_folder_that_does_not_exist_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing is not a folder.*STOKEHOLD_ADAPTER_FOLDERS"):
        folders(tmp_path / "missing")


def test_a_folder_that_goes_away_later_takes_only_its_own_adapters_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stays, goes = tmp_path / "stays", tmp_path / "goes"
    for folder in (stays, goes):
        folder.mkdir()
        write_lora(folder, f"in-{folder.name}", sidecar=FOR_DEMO)
    catalogue = folders(stays, goes)

    goes.rename(tmp_path / "gone")

    assert names(catalogue) == ["in-stays"]
    assert f"adapter folder {goes} cannot be read" in caplog.text


@pytest.mark.parametrize(
    "sidecar",
    [
        f"description = '{'a' * MAX_SIDECAR_BYTES}'",
        "rank = " + "[" * 50_000,
        "a." * 4_000 + "a = 1",
    ],  # deeper than Python's stack
)
def test_a_sidecar_that_is_long_or_deep_is_refused(tmp_path: Path, sidecar: str) -> None:
    path = write_lora(tmp_path, "pixel", sidecar=sidecar)

    with pytest.raises(AdapterNotUsable, match=r"pixel\.toml"):
        describe(path)


def test_names_that_no_request_can_write_get_one_and_keep_their_sidecars(tmp_path: Path) -> None:
    inside = tmp_path / "styles" / "2026"
    inside.mkdir(parents=True)
    for folder, name in ((tmp_path, "Neon Style XL"), (inside, "水彩"), (inside, "v1.0"), (tmp_path, "plain")):
        write_lora(folder, name, sidecar=FOR_DEMO + f'description = "{name}"\n')

    adapters = folders(tmp_path).adapters()

    assert [(adapter.name, adapter.title, adapter.description) for adapter in adapters] == [
        ("neon-style-xl", "Neon Style XL", "Neon Style XL"),
        ("plain", "plain", "plain"),
        ("shuicai", "styles/2026/水彩", "水彩"),
        ("v1.0", "styles/2026/v1.0", "v1.0"),
    ]
    found = folders(tmp_path).look_up(AdapterReference("shuicai"))
    assert (found.repository, found.weight_name) == ("shuicai", "styles/2026/水彩.safetensors")


def test_two_files_of_one_name_are_both_listed_and_the_name_alone_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "styles"
    inside.mkdir()
    write_lora(tmp_path, "Neon", sidecar=FOR_DEMO)
    catalogue = folders(tmp_path)
    lasting = [one.name for one in catalogue.adapters()]
    assert lasting == ["neon"]

    write_lora(inside, "neon", sidecar=FOR_DEMO, rank=8)

    first, second = catalogue.adapters()
    assert {first.title, second.title} == {"Neon", "styles/neon"}
    assert catalogue.has("neon")
    assert (
        catalogue.look_up(AdapterReference(first.name)).commit
        != catalogue.look_up(AdapterReference(second.name)).commit
    )
    with pytest.raises(AdapterNotFound, match=rf"'{first.name}' or '{second.name}'"):
        catalogue.look_up(AdapterReference("neon"))


def test_what_is_left_out_is_listed_with_its_reason_and_its_path(tmp_path: Path) -> None:
    inside = tmp_path / "styles"
    inside.mkdir()
    (inside / "Old One.ckpt").write_bytes(b"a pickle")
    write_lora(tmp_path, "silent")

    assert [(one.name, one.file, one.reason) for one in folders(tmp_path).listing().left_out] == [
        (
            "old-one",
            "styles/Old One.ckpt",
            "Old One.ckpt is a pickle, which may run code when loaded. Convert it to safetensors.",
        ),
        (
            "silent",
            "silent.safetensors",
            'It does not name its base model. Write base_model = "..." into silent.toml beside it to have it listed; '
            "until then a request can use it with a base model that its layers fit.",
        ),
    ]


def test_no_link_leads_out_of_the_folders_or_round_in_circles(tmp_path: Path) -> None:
    folder, outside = tmp_path / "loras", tmp_path / "outside"
    for one in (folder, outside):
        one.mkdir()
    secret, here = write_lora(outside, "secret", sidecar=FOR_DEMO), write_lora(folder, "here", sidecar=FOR_DEMO)
    (folder / "leak.safetensors").symlink_to(secret)
    (folder / "round.safetensors").symlink_to(folder / "round.safetensors")
    (folder / "again").symlink_to(folder)
    (folder / "elsewhere").symlink_to(outside)
    (folder / "alias.safetensors").symlink_to(here)
    (folder / "alias.toml").symlink_to(here.with_suffix(".toml"))
    catalogue = folders(folder)

    assert names(catalogue) == ["alias", "here"]
    assert [one.name for one in catalogue.listing().left_out] == ["leak", "round"]
    for name in ("leak", "round"):
        with pytest.raises(AdapterNotUsable, match="a link that leads to no file in the adapter folders"):
            catalogue.look_up(AdapterReference(name))
    found = catalogue.look_up(AdapterReference("here"))
    for path in ("leak.safetensors", "elsewhere/secret.safetensors", "../outside/secret.safetensors"):
        assert catalogue.path_of(found.model_copy(update={"weight_name": path})) is None


def test_hidden_files_and_what_is_no_file_are_not_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".cache").mkdir()
    write_lora(tmp_path / ".cache", "pixel", sidecar=FOR_DEMO)
    write_lora(tmp_path, "._pixel", sidecar=FOR_DEMO)
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.safetensors").mkdir()

    listing = folders(tmp_path).listing()

    assert (listing.adapters, listing.left_out, caplog.records) == ((), (), [])


def test_folders_are_looked_into_to_a_bound(tmp_path: Path) -> None:
    deep = tmp_path
    for level in range(MAX_DEPTH + 1):
        write_lora(deep, f"level-{level}", sidecar=FOR_DEMO)
        deep = deep / "deeper"
        deep.mkdir()
    write_lora(deep, "too-deep", sidecar=FOR_DEMO)

    assert names(folders(tmp_path)) == [f"level-{level}" for level in range(MAX_DEPTH + 1)]


def test_a_name_that_is_not_utf_8_is_left_out_and_can_be_shown(tmp_path: Path) -> None:
    write_lora(tmp_path, os.fsdecode(b"n\xe9on"), sidecar=FOR_DEMO)

    (one,) = folders(tmp_path).listing().left_out

    assert (
        one.model_dump_json()
        == '{"name":"non","file":"n\ufffdon.safetensors","reason":"Its name is not UTF-8. Rename it."}'
    )
