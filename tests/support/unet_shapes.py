"""What a worker tells of a UNet, and LoRAs that fit one: told apart by the width of their cross-attention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from safetensors.numpy import save

from tasks.base_models.families import flat
from tasks.base_models.shapes import BaseShapes, ModuleShape

BLOCK = "unet.down_blocks.1.attentions.0.transformer_blocks.0"
SD15, SDXL = 768, 2048


def modules(width: int) -> dict[str, tuple[int, int]]:
    """A few layers of a UNet: outputs and inputs by name."""
    own = {f"{BLOCK}.attn1.to_{role}": (64, 64) for role in "qkv"}
    return own | {f"{BLOCK}.attn2.to_{role}": (64, width) for role in "kv"}


def unet_shapes(width: int, model: str) -> BaseShapes:
    """What a worker tells of a base model with this cross-attention."""
    told = tuple(
        ModuleShape(name=name, other_names=(f"lora_{flat(name)}",), shape=shape)
        for name, shape in modules(width).items()
    )
    return BaseShapes(model=model, components=("unet", "text_encoder"), modules=told)


def unet_lora(width: int, *, rank: int = 4, metadata: Mapping[str, str] | None = None) -> bytes:
    """A LoRA for a base model with this cross-attention, as the bytes of its file."""
    tensors = {}
    for name, (outputs, inputs) in modules(width).items():
        tensors[f"{name}.lora_A.weight"] = np.zeros((rank, inputs), np.float32)
        tensors[f"{name}.lora_B.weight"] = np.zeros((outputs, rank), np.float32)
    return save(tensors, metadata=dict(metadata or {}))
