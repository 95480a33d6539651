"""Tiny pipelines of several families of base models, and what files for each call their layers.

The tables are those of the tools that write the files: sd-scripts and ComfyUI call the layers of a model as its first
implementation did, where query, key and value are often one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)

from tests.oracle.expected import Layers, Rows
from tests.support.pipelines import flux, sd3, sd15, sdxl

Table = Mapping[str, str]
"""By name in the file: names of the base's modules, parted by spaces."""


@dataclass(frozen=True)
class Family:
    """A family of base models.

    Attributes:
        make: a tiny pipeline of it.
        denoiser: the component that most adapters change.
        native: names of the model's first implementation.
        kohya: what sd-scripts and musubi-tuner begin from; as ``native``, but where it is told.
        norms: modules that are norms, in diffusers' names.
        text: what kohya writes in front of each text encoder.
        xlabs: names of XLabs' trainer.
    """

    make: Callable[[], Any]
    denoiser: str
    native: Table
    kohya: Table
    norms: tuple[str, ...]
    text: Mapping[str, str] = field(default_factory=dict)
    xlabs: Table = field(default_factory=dict)

    def build(self, seed: int = 0) -> Any:
        """A pipeline whose weights depend on the seed alone; norms too have values that are not all alike."""
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            pipeline = self.make()
            for name in (self.denoiser, *self.text):
                for parameter in getattr(pipeline, name).parameters():
                    if parameter.ndim == 1:
                        parameter.add_(torch.randn_like(parameter) * 0.1)
        return pipeline

    @property
    def modules(self) -> tuple[str, ...]:
        """The denoiser's layers that adapters of the tests change, in diffusers' names."""
        return tuple(module for names in self.native.values() for module in names.split())


def qwen_image() -> Any:
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    nothing: Any = dict.fromkeys(("vae", "text_encoder", "tokenizer"))
    return QwenImagePipeline(transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), **nothing)


def z_image() -> Any:
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[64, 32, 32],
    )
    nothing: Any = dict.fromkeys(("vae", "text_encoder", "tokenizer"))
    return ZImagePipeline(transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), **nothing)


def flux2() -> Any:
    transformer = Flux2Transformer2DModel(
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    nothing: Any = dict.fromkeys(("vae", "text_encoder", "tokenizer"))
    return Flux2KleinPipeline(transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), **nothing)


DOWN, MIDDLE, UP = "down_blocks.1.attentions.0", "mid_block.attentions.0", "up_blocks.0.attentions"
UNET: Table = MappingProxyType(
    {
        "input_blocks.0.0": "conv_in",
        "input_blocks.1.0.in_layers.2": "down_blocks.0.resnets.0.conv1",
        "input_blocks.2.0.op": "down_blocks.0.downsamplers.0.conv",
        "input_blocks.3.0.skip_connection": "down_blocks.1.resnets.0.conv_shortcut",
        "input_blocks.3.1.proj_in": f"{DOWN}.proj_in",
        "input_blocks.3.1.transformer_blocks.0.attn1.to_q": f"{DOWN}.transformer_blocks.0.attn1.to_q",
        "input_blocks.3.1.transformer_blocks.0.attn2.to_k": f"{DOWN}.transformer_blocks.0.attn2.to_k",
        "middle_block.1.transformer_blocks.0.attn1.to_out.0": f"{MIDDLE}.transformer_blocks.0.attn1.to_out.0",
        "output_blocks.0.1.transformer_blocks.0.ff.net.0.proj": f"{UP}.0.transformer_blocks.0.ff.net.0.proj",
        "output_blocks.1.1.transformer_blocks.0.attn2.to_v": f"{UP}.1.transformer_blocks.0.attn2.to_v",
        "output_blocks.3.0.emb_layers.1": "up_blocks.1.resnets.1.time_emb_proj",
    }
)
UNET_NORMS = ("down_blocks.0.resnets.0.norm1", "mid_block.attentions.0.transformer_blocks.0.norm2")

JOINT = "transformer_blocks.0"
TEXT_QKV = f"{JOINT}.attn.add_q_proj {JOINT}.attn.add_k_proj {JOINT}.attn.add_v_proj"
SD3: Table = MappingProxyType(
    {
        "joint_blocks.0.x_block.attn.qkv": f"{JOINT}.attn.to_q {JOINT}.attn.to_k {JOINT}.attn.to_v",
        "joint_blocks.0.x_block.attn.proj": f"{JOINT}.attn.to_out.0",
        "joint_blocks.0.x_block.mlp.fc1": f"{JOINT}.ff.net.0.proj",
        "joint_blocks.0.x_block.adaLN_modulation.1": f"{JOINT}.norm1.linear",
        "joint_blocks.0.context_block.attn.qkv": TEXT_QKV,
        "joint_blocks.0.context_block.mlp.fc2": f"{JOINT}.ff_context.net.2",
    }
)
FLUX: Table = MappingProxyType(
    {
        "double_blocks.0.img_attn.qkv": f"{JOINT}.attn.to_q {JOINT}.attn.to_k {JOINT}.attn.to_v",
        "double_blocks.0.img_attn.proj": f"{JOINT}.attn.to_out.0",
        "double_blocks.0.img_mlp.0": f"{JOINT}.ff.net.0.proj",
        "double_blocks.0.img_mod.lin": f"{JOINT}.norm1.linear",
        "double_blocks.0.txt_attn.qkv": TEXT_QKV,
        "double_blocks.0.txt_mlp.2": f"{JOINT}.ff_context.net.2",
        "single_blocks.0.linear2": "single_transformer_blocks.0.proj_out",
    }
)
SINGLE = "single_transformer_blocks.0"
XLABS: Table = MappingProxyType(
    {
        "double_blocks.0.processor.qkv_lora1": f"{JOINT}.attn.to_q {JOINT}.attn.to_k {JOINT}.attn.to_v",
        "double_blocks.0.processor.qkv_lora2": TEXT_QKV,
        "double_blocks.0.processor.proj_lora1": f"{JOINT}.attn.to_out.0",
        "double_blocks.0.processor.proj_lora2": f"{JOINT}.attn.to_add_out",
        "single_blocks.0.processor.qkv_lora": f"{SINGLE}.attn.to_q {SINGLE}.attn.to_k {SINGLE}.attn.to_v",
    }
)
FLUX2: Table = MappingProxyType(
    {
        "double_blocks.0.img_attn.qkv": f"{JOINT}.attn.to_q {JOINT}.attn.to_k {JOINT}.attn.to_v",
        "double_blocks.0.img_attn.proj": f"{JOINT}.attn.to_out.0",
        "double_blocks.0.img_mlp.0": f"{JOINT}.ff.linear_in",
        "double_blocks.0.txt_attn.qkv": TEXT_QKV,
        "double_blocks.0.txt_mlp.2": f"{JOINT}.ff_context.linear_out",
        "single_blocks.0.linear1": "single_transformer_blocks.0.attn.to_qkv_mlp_proj",
        "single_blocks.0.linear2": "single_transformer_blocks.0.attn.to_out",
    }
)
ATTENTION_NORMS = (f"{JOINT}.attn.norm_q", f"{JOINT}.attn.norm_k")


def same(*modules: str) -> Table:
    """Modules that files call as diffusers does."""
    return {module: module for module in modules}


QWEN = same(
    *(f"{JOINT}.attn.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "to_add_out")),
    *(f"{JOINT}.{name}" for name in ("img_mlp.net.0.proj", "txt_mlp.net.2", "img_mod.1")),
)
Z_IMAGE: Table = MappingProxyType(
    {
        "layers.0.attention.qkv": "layers.0.attention.to_q layers.0.attention.to_k layers.0.attention.to_v",
        "layers.0.attention.out": "layers.0.attention.to_out.0",
        "layers.0.feed_forward.w2": "layers.0.feed_forward.w2",
        "noise_refiner.0.attention.qkv": (
            "noise_refiner.0.attention.to_q noise_refiner.0.attention.to_k noise_refiner.0.attention.to_v"
        ),
    }
)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "SD 1.5": Family(sd15, "unet", UNET, same(*UNET.values()), UNET_NORMS, {"text_encoder": "lora_te"}),
        "SDXL": Family(
            sdxl, "unet", UNET, UNET, UNET_NORMS, {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}
        ),
        "SD3": Family(sd3, "transformer", SD3, SD3, (), {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}),
        "FLUX.1": Family(flux, "transformer", FLUX, FLUX, ATTENTION_NORMS, {"text_encoder": "lora_te1"}, XLABS),
        "FLUX.2": Family(flux2, "transformer", FLUX2, FLUX2, ATTENTION_NORMS),
        "Qwen-Image": Family(qwen_image, "transformer", QWEN, QWEN, ATTENTION_NORMS),
        "Z-Image": Family(
            z_image,
            "transformer",
            Z_IMAGE,
            same(*(module for names in Z_IMAGE.values() for module in names.split())),
            ("layers.0.attention.norm_q", "layers.0.attention_norm1"),
        ),
    }
)

TEXT_LAYERS = ("encoder.layers.0.self_attn.q_proj", "encoder.layers.1.mlp.fc1")
"""Of each CLIP text encoder."""


def rows_of(component: str, modules: str) -> tuple[Rows, ...]:
    return tuple(Rows(f"{component}.{module}") for module in modules.split())


def text_module(pipeline: Any, component: str, layer: str) -> str:
    """A layer of a text encoder: transformers has taken ``text_model.`` out of the names of some."""
    inner = f"text_model.{layer}" if hasattr(getattr(pipeline, component), "text_model") else layer
    return f"{component}.{inner}"


def text_layers(family: Family, pipeline: Any, naming: Callable[[str, str], str]) -> Layers:
    """The layers of the text encoders, under what ``naming`` makes of the component and the layer."""
    return {
        naming(component, f"text_model.{layer}"): (Rows(text_module(pipeline, component, layer)),)
        for component in family.text
        for layer in TEXT_LAYERS
    }


def flat(name: str) -> str:
    return name.replace(".", "_")


def diffusers_names(family: Family, pipeline: Any) -> Layers:
    """``unet.<module>``."""
    own = {f"{family.denoiser}.{module}": rows_of(family.denoiser, module) for module in family.modules}
    return {**own, **text_layers(family, pipeline, lambda component, layer: f"{component}.{layer}")}


def kohya_names(family: Family, pipeline: Any) -> Layers:
    """``lora_unet_<name with underscores>``, whatever the denoiser is."""
    own = {f"lora_unet_{flat(name)}": rows_of(family.denoiser, names) for name, names in family.kohya.items()}
    return {
        **own,
        **text_layers(family, pipeline, lambda component, layer: f"{family.text[component]}_{flat(layer)}"),
    }


def comfy_names(family: Family, pipeline: Any) -> Layers:
    """``diffusion_model.<name>``."""
    return {f"diffusion_model.{name}": rows_of(family.denoiser, names) for name, names in family.native.items()}


def peft_names(family: Family, pipeline: Any) -> Layers:
    """``base_model.model.<module>``, of the denoiser alone."""
    return {f"base_model.model.{module}": rows_of(family.denoiser, module) for module in family.modules}


def bare_names(family: Family, pipeline: Any) -> Layers:
    """``<module>``, of the denoiser alone, as DiffSynth-Studio writes."""
    return {module: rows_of(family.denoiser, module) for module in family.modules}


def onetrainer_names(family: Family, pipeline: Any) -> Layers:
    """``lora_transformer_<module with underscores>``."""
    prefix = f"lora_{family.denoiser}"
    return {f"{prefix}_{flat(module)}": rows_of(family.denoiser, module) for module in family.modules}


def lycoris_names(family: Family, pipeline: Any) -> Layers:
    """``lycoris_<module with underscores>``, as LyCORIS alone writes, and SimpleTuner with it."""
    return {f"lycoris_{flat(module)}": rows_of(family.denoiser, module) for module in family.modules}


def processor_names(family: Family, pipeline: Any) -> Layers:
    """``unet.<attention>.processor.<projection>_lora``, as diffusers wrote before peft, and text encoders of then."""
    own: dict[str, tuple[Rows, ...]] = {}
    for module in (module for module in family.modules if ".attn" in module):
        attention, _, projection = module.removesuffix(".0").rpartition(".")
        own[f"unet.{attention}.processor.{projection}_lora"] = rows_of("unet", module)
    text = text_layers(family, pipeline, lambda component, layer: f"{component}.{layer}.lora_linear_layer")
    return {**own, **{name: rows for name, rows in text.items() if ".self_attn." in name}}


def xlabs_names(family: Family, pipeline: Any) -> Layers:
    """``double_blocks.0.processor.qkv_lora1``."""
    return {name: rows_of(family.denoiser, names) for name, names in family.xlabs.items()}


def norm_names(family: Family, pipeline: Any) -> Layers:
    """Norms as LyCORIS' ``train_norm`` names them, in sd-scripts' way."""
    return {f"lora_unet_{flat(module)}": rows_of(family.denoiser, module) for module in family.norms}
