"""Small safetensors files for tests of everything that reads adapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

PEFT_DOWN = "unet.mid_block.attentions.0.to_q.lora_A.weight"
PEFT_UP = "unet.mid_block.attentions.0.to_q.lora_B.weight"


def lora_bytes(*, rank: int = 4, metadata: Mapping[str, str] | None = None) -> bytes:
    """A LoRA of one layer, named as peft names it, as the bytes of a safetensors file."""
    tensors = {PEFT_DOWN: np.ones((rank, 8), np.float32), PEFT_UP: np.zeros((8, rank), np.float32)}
    return save(tensors, metadata=dict(metadata or {}))


def write_lora(
    folder: Path, name: str, *, sidecar: str | None = None, rank: int = 4, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write ``<name>.safetensors`` and, where given, its sidecar ``<name>.toml``."""
    path = folder / f"{name}.safetensors"
    path.write_bytes(lora_bytes(rank=rank, metadata=metadata))
    if sidecar is not None:
        path.with_suffix(".toml").write_text(sidecar, "utf-8")
    return path
