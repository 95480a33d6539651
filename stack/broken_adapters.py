"""Adapters that cannot be used, like those found in public; a catalogue accepts their headers."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

Shapes = Mapping[str, Sequence[int]]

NOT_A_NUMBER = struct.pack("<f", math.nan)

OTHER_ARCHITECTURE: Shapes = {
    f"unet.down_blocks.2.attentions.1.transformer_blocks.9.attn1.{layer}.lora_{factor}.weight": shape
    for layer in ("to_q", "to_k", "to_v")
    for factor, shape in (("A", (4, 1280)), ("B", (1280, 4)))
}
FITTING: Shapes = {
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0.lora_A.weight": (4, 96),
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0.lora_B.weight": (96, 4),
}
"""Shapes that the demo base has, so that only a worker finds the fault of such a file."""
NO_LORA: Shapes = {"model.embed.weight": (8, 8)}


def write_broken(folder: Path) -> Path:
    """Write each of them with a sidecar that names the demo base, and return the folder."""
    folder.mkdir(parents=True)
    files = {
        "other-architecture": safetensors(OTHER_ARCHITECTURE),
        "no-lora": safetensors(NO_LORA),
        "no-numbers": safetensors(FITTING, NOT_A_NUMBER),
    }
    for name, content in files.items():
        (folder / f"{name}.safetensors").write_bytes(content)
        (folder / f"{name}.toml").write_text('base_model = "demo"\n', "utf-8")
    return folder


def safetensors(shapes: Shapes, value: bytes = bytes(4)) -> bytes:
    """Return a safetensors file of these shapes with one value everywhere, by default zero."""
    header: dict[str, object] = {}
    end = 0
    for key, (rows, columns) in shapes.items():
        begin, end = end, end + rows * columns * 4
        header[key] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + value * (end // 4)
