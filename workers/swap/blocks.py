"""In which blocks of rows a weight is computed."""

from __future__ import annotations

import torch

BLOCK_ELEMENTS = 1 << 18
"""Large enough to keep every core busy, small enough to stay in its caches (measured: docs/decisions/0003)."""

DEVICE_BLOCK_ELEMENTS = 1 << 24
"""What a device computes at a time: 64 MiB of float32, of which it needs a few."""

FEWEST_ROWS = 64
"""So that the blocks of rotations lie within them."""


def row_blocks(weight: torch.Tensor) -> list[slice]:
    """Slices of a weight's rows: a power of two each, so that blocks within the weight are seldom cut."""
    rows = len(weight)
    elements = BLOCK_ELEMENTS if weight.device.type == "cpu" else DEVICE_BLOCK_ELEMENTS
    fitting = max(1, elements * rows // max(1, weight.numel()))
    step = max(FEWEST_ROWS, 1 << (fitting.bit_length() - 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
