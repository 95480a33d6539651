"""The demo model can be made from nothing: the stages of ``demo.train`` with a few steps each, on a few examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from demo.train_base import BaseRecipe, Round, train_base
from demo.train_loras import RECIPES, train_lora
from demo.train_vae import VaeRecipe, train_vae

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    (folder / "loras").mkdir()
    train_vae(VaeRecipe(steps=2, pictures=16, batch=4), folder / "base" / "vae")
    rounds = (Round(2, 1e-3), Round(1, 1e-3))
    train_base(BaseRecipe(rounds=rounds, examples=64, batch=4), folder / "base" / "vae", folder / "base")
    for recipe in RECIPES:
        train_lora(replace(recipe, examples=8, steps=2, batch=4), folder / "base", folder / "loras")
    return folder


def test_the_base_draws_with_each_lora(trained: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(trained / "base", dtype=torch.float32)
    for recipe in RECIPES:
        pipeline.load_lora_weights(trained / "loras" / f"{recipe.name}.safetensors")

        (image,) = pipeline("a red circle", num_inference_steps=1).images

        assert image.size == (64, 64)
        pipeline.unload_lora_weights()


def test_everything_is_made_that_is_committed(trained: Path) -> None:
    committed = Path("demo")
    for part in ("base", "loras"):
        made = {str(path.relative_to(trained / part)) for path in (trained / part).rglob("*") if path.is_file()}
        there = {str(path.relative_to(committed / part)) for path in (committed / part).rglob("*") if path.is_file()}
        assert made == there
