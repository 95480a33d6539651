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
"""Families by the width of the text that a UNet's cross-attention takes."""


OF_UNETS = frozenset(BY_CROSS_ATTENTION.values())


FLUX_WIDTH = 3072
"""Of its blocks. Qwen-Image, AuraFlow, Chroma, Fibo and the smallest FLUX.2 have the same."""


SD3_WIDTHS = frozenset({1536, 2432})


OF_FLUX = ("double_blocks", "single_blocks", "single_transformer_blocks")


OF_ITS_RELATIVES = ("distilled_guidance_layer", "caption_projection", "stream_modulation", "to_qkv_mlp_proj")
"""Modules that Chroma, Fibo and FLUX.2 have beside blocks of these names."""


def flat(name: str) -> str:
    """Return a module's name in kohya's form."""
    return name.replace(".", "_")


def family_of(layers: Iterable[tuple[str, int]]) -> Family | None:
    """The family that some layers belong to, from their names and how many inputs they take; None where unsure.

    Neither names nor widths alone tell a transformer's: FLUX shares each with others.
    """
    found = [(flat(name), inputs) for name, inputs in layers]
    crossing = width_of(found, ("attn2_to_k", "attn2_to_v"))
    if crossing is not None:
        return BY_CROSS_ATTENTION.get(crossing)
    if has_any(found, ("joint_blocks",)):
        return Family.SD3
    if has_any(found, OF_FLUX):
        is_as_wide = any(inputs == FLUX_WIDTH for _, inputs in found)
        return Family.FLUX if is_as_wide and not has_any(found, OF_ITS_RELATIVES) else None
    return Family.SD3 if width_of(found, ("attn_add_k_proj", "attn_add_v_proj")) in SD3_WIDTHS else None


def width_of(layers: Iterable[tuple[str, int]], endings: tuple[str, ...]) -> int | None:
    """The inputs of the first layer whose name ends so."""
    return next((inputs for name, inputs in layers if name.endswith(endings)), None)


def has_any(layers: Iterable[tuple[str, int]], parts: Iterable[str]) -> bool:
    """Return whether a layer has one of these in its name."""
    return any(part in name for name, _ in layers for part in parts)
