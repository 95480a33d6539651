"""LoRA files with random values for a given pipeline, in the formats that are found in the wild."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save_file

from tests.support.pipelines import drawable

State = dict[str, torch.Tensor]

TARGETS = re.compile(r"(to_q|to_k|to_v|to_out\.0|[qkv]_proj|out_proj|fc1|fc2|ff\.net\.2|conv1|conv_shortcut|proj_mlp)$")
ATTENTION = re.compile(r"unet.*(to_q|to_k|to_v|to_out\.0)$")


def random_lora(
    pipeline: Any, *, targets: re.Pattern[str] = TARGETS, rank: int = 4, seed: int = 0, dtype: torch.dtype | None = None
) -> State:
    """A LoRA in PEFT's format, with the component in front of each key."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for component in pipeline._lora_loadable_modules:
        module = getattr(pipeline, component, None)
        for name, layer in module.named_modules() if module is not None else ():
            if targets.search(f"{component}.{name}") and isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                outputs, *inputs = layer.weight.shape
                window = [1] * (layer.weight.ndim - 2)
                down, up = (rank, *inputs), (outputs, rank, *window)
                state[f"{component}.{name}.lora_A.weight"] = torch.randn(down, generator=generator) * 0.1
                state[f"{component}.{name}.lora_B.weight"] = torch.randn(up, generator=generator) * 0.1
    return {key: value.to(dtype) for key, value in state.items()} if dtype else state


def as_peft(state: State) -> State:
    """diffusers' present format."""
    return dict(state)


def as_kohya(state: State) -> State:
    """kohya's sd-scripts: flat module names, and an alpha for each module; here every third one is another."""
    prefixes = {"unet": "lora_unet", "text_encoder": "lora_te", "text_encoder_2": "lora_te2"}
    if any(key.startswith("text_encoder_2.") for key in state):
        prefixes["text_encoder"] = "lora_te1"
    written: State = {}
    for number, key in enumerate(key for key in state if key.endswith(".lora_A.weight")):
        name = key.removesuffix(".lora_A.weight")
        component, _, module = name.partition(".")
        in_front = "text_model_" if component != "unet" and not module.startswith("text_model") else ""
        flat = f"{prefixes[component]}_{in_front}{module.replace('.', '_')}"
        written[f"{flat}.lora_down.weight"] = state[key]
        written[f"{flat}.lora_up.weight"] = state[f"{name}.lora_B.weight"]
        written[f"{flat}.alpha"] = torch.tensor(kohya_alpha(number))
    return written


def kohya_alpha(number: int) -> float:
    """The alpha of a layer of ``as_kohya``."""
    return 2.0 if number % 3 else 8.0


def with_kohya_s_alphas(state: State) -> State:
    """The same change as ``as_kohya`` writes, with each alpha multiplied into the layer's second factor.

    diffusers 0.42 loses the alphas of a kohya file's attention layers, so that it is no measure of these.
    """
    scaled = dict(state)
    for number, key in enumerate(key for key in state if key.endswith(".lora_A.weight")):
        up = key.replace(".lora_A.", ".lora_B.")
        scaled[up] = state[up] * (kohya_alpha(number) / state[key].shape[0])
    return scaled


def as_attention_processors(state: State) -> State:
    """The format before PEFT: LoRA layers inside the attention processors of the UNet."""
    written: State = {}
    for key, value in state.items():
        if ATTENTION.search(key.removesuffix(".lora_A.weight").removesuffix(".lora_B.weight")):
            kind = "down" if ".lora_A." in key else "up"
            name = key.partition(".lora_")[0].replace("to_out.0", "to_out")
            attention, _, projection = name.rpartition(".")
            written[f"{attention}.processor.{projection}_lora.{kind}.weight"] = value
    return written


FORMATS: Mapping[str, Callable[[State], State]] = MappingProxyType(
    {"peft": as_peft, "kohya": as_kohya, "attention processors": as_attention_processors}
)


def write(state: State, path: Path, metadata: dict[str, str] | None = None) -> Path:
    """Write a state as a safetensors file."""
    save_file({key: value.contiguous() for key, value in state.items()}, path, metadata=metadata)
    return path


@cache
def noise(seed: int) -> State:
    """A LoRA for the pipeline of ``drawable``."""
    return random_lora(drawable(), seed=seed)


def write_noise(folder: Path, *seeds: int) -> None:
    """Put ``noise<seed>`` adapters for the pipeline of ``drawable``, as the ``demo`` base model, into a folder."""
    for seed in seeds:
        path = write(noise(seed), folder / f"noise{seed}.safetensors")
        path.with_suffix(".toml").write_text('base_model = "demo"\n', "utf-8")
