"""Files are read in processes of their own, which are ended when their time is over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import socketpair

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.errors import AdapterLoadFailed
from tests.support.pipelines import build
from tests.support.processes import seen_of
from tests.support.waiting import patience
from workers.activity import Unfollowed
from workers.adapters import reader as reader_module
from workers.adapters.parser import parse_adapter
from workers.adapters.reader import AdapterReader, ServerProcess, launch
from workers.adapters.shell import LoaderShell
from workers.swap.parsed_adapter import ParsedAdapter, private_block

pytestmark = pytest.mark.torch

LAYER = "lora_unet_double_blocks_0_img_attn_proj"
TO_OUT = "transformer.transformer_blocks.0.attn.to_out.0"


@pytest.fixture(scope="module")
def shell() -> LoaderShell:
    return LoaderShell(build("flux"))


@pytest.fixture(scope="module")
def reader(shell: LoaderShell) -> Iterator[AdapterReader]:
    """One whose first server has ended before it was given anything."""
    ours, theirs = socketpair()
    theirs.close()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("STOKEHOLD_S3_SECRET_KEY", "a secret")
        monkeypatch.setattr(reader_module, "launch", launch)  # other tests of this run may fork theirs
        reader = AdapterReader(shell, parse_s=patience(0.75), allocate=private_block, server=ServerProcess(ours, None))
        yield reader
        reader.stop()


@pytest.fixture(scope="module")
def good(shell: LoaderShell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    weight = shell.modules["transformer"][TO_OUT.partition(".")[2]].weight
    path = tmp_path_factory.mktemp("adapters") / "good.safetensors"
    torch.manual_seed(0)
    down, up = torch.randn(4, weight.shape[1]), torch.randn(weight.shape[0], 4)
    save_file({f"{TO_OUT}.lora_A.weight": down, f"{TO_OUT}.lora_B.weight": up}, path)
    return path


@pytest.fixture
def negative_alpha(tmp_path: Path) -> Path:
    """A converter of diffusers halves a scale until it is small enough, and a negative one never is."""
    path = tmp_path / "negative.safetensors"
    tensors = {
        f"{LAYER}.lora_down.weight": torch.randn(4, 32),
        f"{LAYER}.lora_up.weight": torch.randn(32, 4),
        f"{LAYER}.alpha": torch.tensor(-1.0),
    }
    save_file(tensors, path)
    return path


@pytest.fixture
def regular_expression(good: Path, tmp_path: Path) -> Path:
    """PEFT takes names of layers in a file's metadata as patterns."""
    path = tmp_path / "pattern.safetensors"
    config = {"r": 4, "lora_alpha": 4, "target_modules": ["to_out.0"], "alpha_pattern": {r"([a-z0-9_]+\.?)+!": 8}}
    metadata = {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in config.items()})}
    save_file(load_file(good), path, metadata=metadata)
    return path


def same(one: ParsedAdapter, other: ParsedAdapter) -> bool:
    """Whether both change the same weights by the same numbers."""
    return one.changes.keys() == other.changes.keys() and all(
        torch.equal(first, second)
        for name, changes in one.changes.items()
        for ours, theirs in zip(changes, other.changes[name], strict=True)
        for first, second in zip(ours.tensors, theirs.tensors, strict=True)
    )


def test_what_a_child_reads_is_what_this_process_would(reader: AdapterReader, shell: LoaderShell, good: Path) -> None:
    read = reader.read(good, "good", Unfollowed())

    assert isinstance(read, ParsedAdapter)
    assert same(read, parse_adapter(shell, good, "good"))
    assert read.memory.untyped_storage().nbytes() == read.bytes


def test_the_server_knows_no_secret(reader: AdapterReader, good: Path) -> None:
    reader.read(good, "good", Unfollowed())
    commands = seen_of(psutil.Process().children(), lambda one: (one, one.cmdline()))
    (server,) = (one for one, command in commands if "workers.adapters.reader_server" in command)

    assert not [name for name in server.environ() if "SECRET" in name or name.startswith("STOKEHOLD_")]


def test_a_broken_file_is_refused_with_its_own_sentence(reader: AdapterReader, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"nothing")

    with pytest.raises(AdapterLoadFailed, match="is broken"):
        reader.read(path, "broken", Unfollowed())


def test_a_negative_alpha_is_a_number(reader: AdapterReader, negative_alpha: Path) -> None:
    read = reader.read(negative_alpha, "negative", Unfollowed())

    assert isinstance(read, ParsedAdapter)
    assert {change.scales for changes in read.changes.values() for change in changes} == {(-0.25,)}


def test_a_regular_expression_is_not_run(reader: AdapterReader, regular_expression: Path) -> None:
    with pytest.raises(AdapterLoadFailed, match="expressions are not run here"):
        reader.read(regular_expression, "pattern", Unfollowed())


def test_files_are_read_side_by_side(reader: AdapterReader, shell: LoaderShell, good: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        reads = list(pool.map(lambda name: reader.read(good, name, Unfollowed()), "abcdef"))

    assert all(isinstance(read, ParsedAdapter) for read in reads)
    assert len({read.memory.data_ptr() for read in reads if isinstance(read, ParsedAdapter)}) == len(reads)
