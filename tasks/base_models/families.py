"""Families of base models, told apart by the names and widths of their layers."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Family(StrEnum):
    """A family whose members take each other's adapters."""

    SD15 = "SD 1.5"
    SD2 = "SD 2"
    SDXL = "SDXL"
    SD3 = "SD3"
    FLUX = "FLUX"


BY_CROSS_ATTENTION = {768: Family.SD15, 1024: Family.SD2, 2048: Family.SDXL}
"""By the width of the text that a UNet's cross-attention takes."""


OF_UNETS = frozenset(BY_CROSS_ATTENTION.values())


FLUX_WIDTH = 3072


def flat(name: str) -> str:
    """A module's name as kohya has it."""
    return name.replace(".", "_")


def family_of(layers: Iterable[tuple[str, int]]) -> Family | None:
    """The family that some layers belong to, from their names and how many inputs they take; None where unsure."""
    found = [(flat(name), inputs) for name, inputs in layers]
    if any("double_blocks" in name or "single_blocks" in name or "single_transformer" in name for name, _ in found):
        return Family.FLUX
    if any("joint_blocks" in name for name, _ in found):
        return Family.SD3
    crossing = next((inputs for name, inputs in found if name.endswith(("attn2_to_k", "attn2_to_v"))), None)
    if crossing is not None:
        return BY_CROSS_ATTENTION.get(crossing)
    joint = next((inputs for name, inputs in found if name.endswith(("attn_add_k_proj", "attn_add_v_proj"))), None)
    if joint is not None:
        return Family.FLUX if joint == FLUX_WIDTH else Family.SD3
    return None
