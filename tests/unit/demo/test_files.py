"""The demo's trained files: what is committed, and kohya's names for the tensors of a LoRA."""

import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from demo.effects import EFFECTS
from demo.lora_files import BASE_MODEL, to_kohya

pytestmark = pytest.mark.torch

DEMO = Path(__file__).parents[3] / "demo"
LORAS = sorted((DEMO / "loras").glob("*.safetensors"))


def test_every_effect_has_its_lora() -> None:
    assert {path.stem for path in LORAS} == set(EFFECTS)


@pytest.mark.parametrize("path", LORAS, ids=lambda path: path.stem)
def test_a_sidecar_tells_the_rank_that_the_file_has(path: Path) -> None:
    sidecar = tomllib.loads(path.with_suffix(".toml").read_text())
    assert sidecar["base_model"] == BASE_MODEL
    assert sidecar["description"]
    downs = (tensor for key, tensor in load_file(path).items() if ".lora_A." in key or ".lora_down." in key)
    ranks = {tensor.shape[0] for tensor in downs}
    assert ranks == {sidecar["rank"]}


def test_all_weights_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in DEMO.rglob("*.safetensors")) <= 12_000_000


def test_kohya_names() -> None:
    down, up = torch.zeros(4, 8), torch.zeros(8, 4)
    converted = to_kohya({"mid.to_out.0.lora.down.weight": down, "mid.to_out.0.lora.up.weight": up}, "lora_unet", 4)
    assert converted["lora_unet_mid_to_out_0.lora_down.weight"] is down
    assert converted["lora_unet_mid_to_out_0.lora_up.weight"] is up
    assert converted["lora_unet_mid_to_out_0.alpha"] == 4
