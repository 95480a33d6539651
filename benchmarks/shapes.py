"""Pipelines with the denoiser of a real model, random weights, and nothing else: a swap costs what its shapes cost."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from diffusers import (
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file

ATTENTION = re.compile(r"\.(to_q|to_k|to_v|to_out\.0)$")
"""The layers that most LoRAs change."""


def without_memory(model_class: Any, **configuration: Any) -> Any:
    """A model on the meta device. Only the denoiser: a scheduler computes with its tensors when it is made."""
    with torch.device("meta"):
        return model_class(**configuration)


def sdxl_shaped() -> Any:
    """stabilityai/stable-diffusion-xl-base-1.0: 2.6 billion weights."""
    unet = without_memory(
        UNet2DConditionModel,
        sample_size=128,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(320, 640, 1280),
        cross_attention_dim=2048,
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    nothing = dict.fromkeys(("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    return StableDiffusionXLPipeline(unet=unet, scheduler=EulerDiscreteScheduler(), **nothing)


def sd15_shaped() -> Any:
    """stable-diffusion-v1-5: 860 million weights."""
    unet = without_memory(UNet2DConditionModel, sample_size=64, attention_head_dim=8, cross_attention_dim=768)
    nothing = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    scheduler = EulerDiscreteScheduler(steps_offset=1)
    return StableDiffusionPipeline(unet=unet, scheduler=scheduler, requires_safety_checker=False, **nothing)


def flux_shaped_small() -> Any:
    """FLUX.1 at full width with a tenth of its blocks: 1.4 billion weights."""
    transformer = without_memory(FluxTransformer2DModel, num_layers=2, num_single_layers=4, guidance_embeds=True)
    nothing = dict.fromkeys(("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    return FluxPipeline(transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), **nothing)


SHAPES: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {"sdxl-shaped": sdxl_shaped, "sd15-shaped": sd15_shaped, "flux-shaped-small": flux_shaped_small}
)


def denoiser_of(pipeline: Any) -> tuple[str, Any]:
    """The denoiser's name in its pipeline, and the denoiser."""
    name = "unet" if hasattr(pipeline, "unet") else "transformer"
    return name, getattr(pipeline, name)


def build(shape: str, dtype: torch.dtype, device: torch.device) -> Any:
    """A pipeline of this shape. Its weights repeat one tile of noise: drawing billions by lot takes minutes."""
    pipeline = SHAPES[shape]()
    _, denoiser = denoiser_of(pipeline)
    denoiser.to(dtype).to_empty(device=device).requires_grad_(False)
    tile = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).mul_(0.02).to(device, dtype)
    for parameter in denoiser.parameters():
        flat = parameter.view(-1)
        for start in range(0, len(flat), len(tile)):
            flat[start : start + len(tile)] = tile[: len(flat) - start]
    return pipeline


def write_lora(pipeline: Any, path: Path, *, rank: int, seed: int) -> Path:
    """A LoRA on all attention projections, in half precision, as trainers write it."""
    name, denoiser = denoiser_of(pipeline)
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for module_name, module in denoiser.named_modules():
        if ATTENTION.search(f".{module_name}") and isinstance(module, torch.nn.Linear):
            key = f"{name}.{module_name}.lora"
            state[f"{key}_A.weight"] = torch.randn(rank, module.in_features, generator=generator).mul_(0.02).half()
            state[f"{key}_B.weight"] = torch.randn(module.out_features, rank, generator=generator).mul_(0.02).half()
    save_file(state, path)
    return path
