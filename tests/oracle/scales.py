"""How strongly a layer of an adapter is meant: alpha over rank, from wherever trainers write the alpha."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tests.oracle.file import AdapterFile, Array

NAMES = ("ss_network_alpha", "lora_alpha", "network_alpha", "alpha")
"""Entries of a file's metadata that hold one alpha for the whole file."""


def scale(file: AdapterFile, module: str, alpha: Array | None, rank: int) -> float:
    """The factor of a low-rank product.

    A tensor beside the factors goes first, then the file's metadata, then ``adapter_config.json``. With no alpha at
    all, and with one of 0, the factor is 1, as in sd-scripts and ComfyUI.

    Args:
        module: what the layer changes, with the component in front (``unet.mid_block.attentions.0.to_q``).
    """
    configuration = declared(file, module)
    value = float(alpha.reshape(-1)[0]) if alpha is not None else alpha_of(file, configuration, module)
    if not value:
        value = float(rank)
    return value / (math.sqrt(rank) if configuration.get("use_rslora") else rank)


def declared(file: AdapterFile, module: str) -> Mapping[str, Any]:
    """peft's configuration of a component: diffusers keeps it in the metadata, peft in a file beside."""
    packed = json.loads(file.metadata.get("lora_adapter_metadata", "{}"))
    start = module.partition(".")[0] + "."
    own = {key.removeprefix(start): value for key, value in packed.items() if key.startswith(start)}
    return own or file.config


def alpha_of(file: AdapterFile, configuration: Mapping[str, Any], module: str) -> float | None:
    """The alpha of a layer that has no tensor for it."""
    for name, value in (configuration.get("alpha_pattern") or {}).items():
        if module == name or module.endswith(f".{name}"):
            return float(value)
    declared = [configuration.get(name) for name in ("lora_alpha", "alpha")]  # peft's LoRA, and its LoHa and LoKr
    declared += [number(file.metadata.get(name)) for name in NAMES]
    return next((float(value) for value in declared if value is not None), None)


def number(text: str | None) -> float | None:
    """What the metadata of a file says; trainers write ``None`` where they have nothing to say."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
