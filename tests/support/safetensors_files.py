"""Small safetensors files for tests of everything that reads adapters."""

from __future__ import annotations

import json
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


def write_sparse_lora(folder: Path, name: str, *, size_bytes: int, metadata: Mapping[str, str] | None = None) -> Path:
    """Write ``<name>.safetensors`` of about this size, whose values are a hole that takes no space on the disk."""
    rows = size_bytes // (257 * 4)
    down, up = rows * 1024, rows * 1028
    header = {
        "__metadata__": dict(metadata or {}),
        PEFT_DOWN: {"dtype": "F32", "shape": [rows, 256], "data_offsets": [0, down]},
        PEFT_UP: {"dtype": "F32", "shape": [1, rows], "data_offsets": [down, up]},
    }
    text = json.dumps(header).encode()
    path = folder / f"{name}.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + up)
    return path
