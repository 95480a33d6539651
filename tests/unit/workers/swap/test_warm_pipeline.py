"""The base is checked now and then, and loaded again when it is no longer what was loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ConfigurationError
from tests.support.adapters import prepared
from tests.support.loras import random_lora, write
from tests.support.pipelines import build
from workers.swap.pristine import fingerprints
from workers.swap.warm_pipeline import LoadedBase, WarmPipeline

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]


def warm_pipeline(check_every: int = 2) -> WarmPipeline:
    return WarmPipeline(lambda: build("sd15"), pristine_device=None, check_every=check_every)


@torch.no_grad()
def damage(weight: torch.Tensor) -> None:
    """Flip the lowest bit of the first number."""
    weight.flatten().view(torch.int32)[0] ^= 1


@given(
    st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=3000),
    st.integers(0, 2999),
    st.integers(0, 14),
)
def test_any_flipped_bit_changes_the_fingerprint(numbers: list[int], place: int, bit: int) -> None:
    weight = torch.tensor(numbers, dtype=torch.int16).view(torch.bfloat16)
    flipped = weight.clone()
    flipped.view(torch.int16)[place % len(numbers)] ^= 1 << bit

    assert fingerprints([weight]) == fingerprints([weight.clone()])
    assert fingerprints([weight]) != fingerprints([flipped])


@pytest.mark.parametrize(
    "change", [torch.neg, lambda weight: weight.flip(0), lambda weight: weight.flip(1), torch.zeros_like]
)
def test_wholesale_changes_change_the_fingerprint(change: Any) -> None:
    weight = torch.randn(64, 2048, generator=torch.Generator().manual_seed(0)).bfloat16()

    assert fingerprints([weight]) != fingerprints([change(weight).contiguous()])


def test_a_weight_that_begins_amid_eight_bytes_has_the_same_fingerprint() -> None:
    whole = torch.randn(3 * 1024 * 4 + 8, generator=torch.Generator().manual_seed(0)).bfloat16()

    assert fingerprints([whole[3:]]) == fingerprints([whole[3:].clone()])


def test_a_base_with_adapters_merged_is_still_clean(tmp_path: Path) -> None:
    warm = warm_pipeline()
    path = write(random_lora(warm.base.pipeline), tmp_path / "adapter.safetensors")

    warm.swap((prepared(warm.base.pipeline, path),))

    assert warm.check()
    assert warm.reloads == 0


def test_a_device_without_room_for_the_base_is_found_before_the_first_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: Any, names: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("workers.swap.engine.PristineWeights.keep", no_room)

    with pytest.raises(ConfigurationError, match='`pristine = "host"`'):
        warm_pipeline()


@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_a_damaged_base_is_loaded_again_before_the_next_swap(tmp_path: Path, component: str) -> None:
    warm = warm_pipeline(check_every=2)
    adapters = [
        (
            prepared(
                warm.base.pipeline, write(random_lora(warm.base.pipeline, seed=seed), tmp_path / f"{seed}.safetensors")
            ),
        )
        for seed in range(3)
    ]
    warm.swap(adapters[0])
    damage(next(weight for name, weight in warm.base.inventory.tensors.items() if name.startswith(component)))

    warm.swap(adapters[1])
    warm.swap(adapters[2])

    assert warm.reloads == 1
    assert warm.base.engine.merged == adapters[2]
    assert warm.check()


def replace_a_parameter(pipeline: Any) -> None:
    """As a loader does that assigns instead of copying; the values are the same."""
    pipeline.unet.conv_in.weight = torch.nn.Parameter(pipeline.unet.conv_in.weight.detach().clone())


def fuse_projections(pipeline: Any) -> None:
    pipeline.unet.fuse_qkv_projections()


def add_a_buffer(pipeline: Any) -> None:
    pipeline.unet.register_buffer("noise", torch.zeros(1))


def wrap_a_layer(pipeline: Any) -> None:
    pipeline.unet.conv_in = torch.nn.Sequential(pipeline.unet.conv_in)


def train(pipeline: Any) -> None:
    """So that dropout is random."""
    pipeline.text_encoder.train(not pipeline.text_encoder.training)


def change_a_buffer(pipeline: Any) -> None:
    next(pipeline.text_encoder.buffers()).view(-1)[0] += 1


@pytest.mark.parametrize(
    "spoil", [replace_a_parameter, fuse_projections, add_a_buffer, wrap_a_layer, train, change_a_buffer]
)
def test_whatever_the_model_holds_else_than_it_was_loaded_with_is_found(spoil: Any) -> None:
    base = LoadedBase.around(build("sd15"), None)
    assert base.changed() == []

    spoil(base.pipeline)

    assert base.changed()


def test_the_pipeline_does_not_search_its_modules_for_the_device_that_it_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, warm = build("sd15"), warm_pipeline().base.pipeline

    def refuse(module: torch.nn.Module) -> None:
        raise AssertionError("a search")

    monkeypatch.setattr(torch.nn.Module, "modules", refuse)

    assert warm._execution_device == warm.device == torch.device("cpu")
    with pytest.raises(AssertionError):
        _ = plain._execution_device


def test_the_pipeline_is_still_of_its_class() -> None:
    plain, warm = build("sd15"), warm_pipeline().base.pipeline

    assert isinstance(warm, type(plain))
    assert type(warm).__name__ == type(plain).__name__
