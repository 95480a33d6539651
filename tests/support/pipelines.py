"""Small pipelines of real architectures with random weights: enough to load, merge and compare; one can draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from demo.vocabulary import train_tokenizer


def clip_config(**changes: Any) -> CLIPTextConfig:
    """A text encoder of two layers and 32 channels."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return CLIPTextConfig(**{**sizes, "vocab_size": 100, "projection_dim": 32, **changes})


def unet(**changes: Any) -> UNet2DConditionModel:
    """A UNet of two blocks, one of them with cross-attention."""
    return UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=16,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        **{"cross_attention_dim": 32, **changes},
    )


def sd15() -> DiffusionPipeline:
    return StableDiffusionPipeline(
        unet=unet(),
        text_encoder=CLIPTextModel(clip_config()),
        scheduler=EulerDiscreteScheduler(),
        vae=None,
        tokenizer=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl() -> DiffusionPipeline:
    return StableDiffusionXLPipeline(
        unet=unet(
            cross_attention_dim=64,
            transformer_layers_per_block=(1, 2),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=80,
        ),
        text_encoder=CLIPTextModel(clip_config()),
        text_encoder_2=CLIPTextModelWithProjection(clip_config()),
        scheduler=EulerDiscreteScheduler(),
        vae=None,
        tokenizer=None,
        tokenizer_2=None,
    )


def sd3() -> DiffusionPipeline:
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=32,
            pooled_projection_dim=64,
        ),
        text_encoder=CLIPTextModelWithProjection(clip_config()),
        text_encoder_2=CLIPTextModelWithProjection(clip_config()),
        text_encoder_3=None,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=None,
        tokenizer=None,
        tokenizer_2=None,
        tokenizer_3=None,
    )


def flux() -> DiffusionPipeline:
    return FluxPipeline(
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
        text_encoder=CLIPTextModel(clip_config()),
        text_encoder_2=None,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=None,
        tokenizer=None,
        tokenizer_2=None,
    )


ARCHITECTURES: Mapping[str, Callable[[], DiffusionPipeline]] = MappingProxyType(
    {"sd15": sd15, "sdxl": sdxl, "sd3": sd3, "flux": flux}
)


def build(architecture: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> Any:
    """A pipeline whose weights depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ARCHITECTURES[architecture]().to(dtype=dtype)


def drawable() -> Any:
    """A Stable Diffusion pipeline that really draws 64 x 64 pixels, of nothing."""
    tokenizer = train_tokenizer(["a red circle on a blue background"])
    words = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = StableDiffusionPipeline(
            unet=unet(),
            text_encoder=CLIPTextModel(clip_config(vocab_size=len(tokenizer), pad_token_id=0, **words)),
            tokenizer=tokenizer,
            vae=AutoencoderKL(
                block_out_channels=(8, 8, 8),
                down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3,
                norm_num_groups=2,
            ),
            scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
