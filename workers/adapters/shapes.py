"""The shapes of a loaded pipeline, so that an adapter can be judged without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch

from tasks.base_models.families import flat
from tasks.base_models.registry import ServedModel
from tasks.base_models.shapes import UNET, BaseShapes, ModuleShape
from workers.adapters.shell import LoaderShell

TEXT_ENCODERS = {
    "text_encoder": ("lora_te", "lora_te1"),
    "text_encoder_2": ("lora_te2",),
}
"""What kohya writes in front of the modules of each text encoder."""
TEXT_MODEL = "text_model."
"""Stood in front of the modules of every CLIP text encoder once; some have lost it, and diffusers knows."""

_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.([01])\.(.+)")
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_IN_A_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}


def shapes_of(model: ServedModel, shell: LoaderShell) -> BaseShapes:
    """The modules of a pipeline that an adapter may change, under every name that diffusers reads for them."""
    return BaseShapes(
        model=model.model,
        revision=model.revision,
        components=tuple(shell.components),
        modules=tuple(
            ModuleShape(
                name=f"{component}.{name}",
                other_names=tuple(other_names(component, name, root)),
                shape=weight_shape(module),
            )
            for component, root in shell.components.items()
            for name, module in root.named_modules()
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
        ),
    )


def other_names(component: str, name: str, root: Any) -> Iterator[str]:
    """Return how files of other formats than diffusers' own name a module."""
    if component == UNET:
        yield f"lora_unet_{flat(name)}"
        original = original_name(name, root.config.layers_per_block)
        if original is not None:
            yield f"lora_unet_{flat(original)}"
    elif component in TEXT_ENCODERS:
        with_model = name if name.startswith(TEXT_MODEL) else f"{TEXT_MODEL}{name}"
        if with_model != name:
            yield f"{component}.{with_model}"
        yield from (f"{prefix}_{flat(with_model)}" for prefix in TEXT_ENCODERS[component])


def original_name(name: str, layers_per_block: object) -> str | None:
    """A UNet module's name in the model's first implementation (``input_blocks.4.1...``), which kohya uses for SDXL.

    The reverse of ``diffusers.loaders.lora_conversion_utils._maybe_map_sgm_blocks_to_diffusers``.
    """
    middle = _MIDDLE.fullmatch(name)
    block = _BLOCK.fullmatch(name)
    if middle is not None:
        kind, number, rest = middle.groups()
        place = 1 if kind == "attentions" else 2 * int(number)
        return f"middle_block.{place}.{inside(kind, rest)}"
    if block is None or not isinstance(layers_per_block, int):
        return _OUTSIDE.get(name)
    side, number, kind, layer, rest = block.groups()
    first = int(number) * (layers_per_block + 1)
    if kind == "downsamplers":
        return f"input_blocks.{1 + first + layers_per_block}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{first + layers_per_block}.2.{rest}"
    start = f"input_blocks.{1 + first + int(layer)}" if side == "down" else f"output_blocks.{first + int(layer)}"
    return f"{start}.{1 if kind == 'attentions' else 0}.{inside(kind, rest)}"


def inside(kind: str, rest: str) -> str:
    """The rest of a name, within a block's layer."""
    return _IN_A_RESNET.get(rest, rest) if kind == "resnets" else rest


def weight_shape(module: torch.nn.Linear | torch.nn.Conv2d) -> tuple[int, ...]:
    """Of the weight as the model means it; a quantised one is stored in another shape."""
    if isinstance(module, torch.nn.Linear):
        return module.out_features, module.in_features
    return tuple(module.weight.shape)
