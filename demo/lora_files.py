"""LoRAs as files: diffusers' format and kohya's, each with a sidecar that says what it is."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

BASE_MODEL = "stokehold/demo"
KOHYA_PREFIXES = {"unet": "lora_unet", "text_encoder": "lora_te"}


@dataclass(frozen=True)
class LoraFile:
    """A trained LoRA: `layers` holds the tensors of each part (unet, text_encoder) under diffusers' names."""

    name: str
    description: str
    rank: int
    trigger_word: str | None
    layers: dict[str, dict[str, Tensor]]
    steps: int


def write_diffusers(lora: LoraFile, folder: Path) -> None:
    """Write it as diffusers does."""
    halves = {part: _halved(layers) for part, layers in lora.layers.items()}
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=halves["unet"],
        text_encoder_lora_layers=halves.get("text_encoder"),
        weight_name=f"{lora.name}.safetensors",
    )
    _write_sidecar(lora, folder)


def write_kohya(lora: LoraFile, folder: Path) -> None:
    """Write it as kohya's trainer does, with the metadata that tools read from such files."""
    tensors = {
        key: tensor
        for part, layers in lora.layers.items()
        for key, tensor in to_kohya(_halved(layers), KOHYA_PREFIXES[part], lora.rank).items()
    }
    metadata = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(lora.rank),
        "ss_network_alpha": str(float(lora.rank)),
        "ss_base_model_version": "sd_v1",
        "ss_sd_model_name": BASE_MODEL,
        "ss_output_name": lora.name,
        "ss_steps": str(lora.steps),
        "ss_resolution": "(64, 64)",
    }
    save_file(tensors, folder / f"{lora.name}.safetensors", metadata)
    _write_sidecar(lora, folder)


def to_kohya(layers: dict[str, Tensor], prefix: str, alpha: float) -> dict[str, Tensor]:
    """The tensors under kohya's names: dots become underscores, and each layer says its alpha."""
    converted: dict[str, Tensor] = {}
    for key, tensor in layers.items():
        module, _, end = key.removesuffix(".weight").rpartition(".lora")
        name = f"{prefix}_{module.replace('.', '_')}"
        down = end in (".down", "_A")
        converted[f"{name}.lora_{'down' if down else 'up'}.weight"] = tensor
        converted[f"{name}.alpha"] = torch.tensor(float(alpha))
    return converted


def _halved(layers: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.to(torch.float16).contiguous() for key, tensor in layers.items()}


def _write_sidecar(lora: LoraFile, folder: Path) -> None:
    words = f'"{lora.trigger_word}"' if lora.trigger_word else ""
    (folder / f"{lora.name}.toml").write_text(
        f'base_model = "{BASE_MODEL}"\n'
        f"rank = {lora.rank}\n"
        f"trigger_words = [{words}]\n"
        f'description = "{lora.description}"\n'
    )
