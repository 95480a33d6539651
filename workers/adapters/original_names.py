"""Names that models have in their first implementations, for layers that no converter of diffusers knows.

A row holds for every model that has modules of the names on its right. sd-scripts flattens the names on the left;
ComfyUI and the models' authors write them with dots.

Sources: https://github.com/black-forest-labs/flux (model.py), https://github.com/Stability-AI/sd3.5 (mmditx.py),
https://github.com/Alpha-VLLM/Lumina-Image-2.0 (model.py), and diffusers' scripts that convert their checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tasks.base_models.families import flat

NUMBER = "#"

_ATTENTION = ("to_q", "to_k", "to_v")
_ADDED = ("add_q_proj", "add_k_proj", "add_v_proj")


def within(block: str, names: Sequence[str]) -> tuple[str, ...]:
    """Names of modules of a block."""
    return tuple(f"{block}.{name}" for name in names)


DOUBLE, SINGLE = "transformer_blocks.#", "single_transformer_blocks.#"

ORIGINAL: tuple[tuple[str, tuple[str, ...]], ...] = (
    # FLUX.1, FLUX.2 and what descends from them
    ("double_blocks.#.img_attn.qkv", within(f"{DOUBLE}.attn", _ATTENTION)),
    ("double_blocks.#.txt_attn.qkv", within(f"{DOUBLE}.attn", _ADDED)),
    ("double_blocks.#.img_attn.proj", (f"{DOUBLE}.attn.to_out.0",)),
    ("double_blocks.#.txt_attn.proj", (f"{DOUBLE}.attn.to_add_out",)),
    ("double_blocks.#.img_mlp.0", (f"{DOUBLE}.ff.net.0.proj",)),
    ("double_blocks.#.img_mlp.2", (f"{DOUBLE}.ff.net.2",)),
    ("double_blocks.#.txt_mlp.0", (f"{DOUBLE}.ff_context.net.0.proj",)),
    ("double_blocks.#.txt_mlp.2", (f"{DOUBLE}.ff_context.net.2",)),
    ("double_blocks.#.img_mlp.0", (f"{DOUBLE}.ff.linear_in",)),
    ("double_blocks.#.img_mlp.2", (f"{DOUBLE}.ff.linear_out",)),
    ("double_blocks.#.txt_mlp.0", (f"{DOUBLE}.ff_context.linear_in",)),
    ("double_blocks.#.txt_mlp.2", (f"{DOUBLE}.ff_context.linear_out",)),
    ("double_blocks.#.img_mod.lin", (f"{DOUBLE}.norm1.linear",)),
    ("double_blocks.#.txt_mod.lin", (f"{DOUBLE}.norm1_context.linear",)),
    ("double_blocks.#.img_attn.norm.query_norm", (f"{DOUBLE}.attn.norm_q",)),
    ("double_blocks.#.img_attn.norm.key_norm", (f"{DOUBLE}.attn.norm_k",)),
    ("double_blocks.#.txt_attn.norm.query_norm", (f"{DOUBLE}.attn.norm_added_q",)),
    ("double_blocks.#.txt_attn.norm.key_norm", (f"{DOUBLE}.attn.norm_added_k",)),
    ("single_blocks.#.linear1", (*within(f"{SINGLE}.attn", _ATTENTION), f"{SINGLE}.proj_mlp")),
    ("single_blocks.#.linear1", (f"{SINGLE}.attn.to_qkv_mlp_proj",)),
    ("single_blocks.#.linear2", (f"{SINGLE}.proj_out",)),
    ("single_blocks.#.linear2", (f"{SINGLE}.attn.to_out",)),
    ("single_blocks.#.modulation.lin", (f"{SINGLE}.norm.linear",)),
    ("single_blocks.#.norm.query_norm", (f"{SINGLE}.attn.norm_q",)),
    ("single_blocks.#.norm.key_norm", (f"{SINGLE}.attn.norm_k",)),
    ("img_in", ("x_embedder",)),
    ("txt_in", ("context_embedder",)),
    ("time_in.in_layer", ("time_text_embed.timestep_embedder.linear_1",)),
    ("time_in.out_layer", ("time_text_embed.timestep_embedder.linear_2",)),
    ("vector_in.in_layer", ("time_text_embed.text_embedder.linear_1",)),
    ("vector_in.out_layer", ("time_text_embed.text_embedder.linear_2",)),
    ("guidance_in.in_layer", ("time_text_embed.guidance_embedder.linear_1",)),
    ("guidance_in.out_layer", ("time_text_embed.guidance_embedder.linear_2",)),
    ("final_layer.linear", ("proj_out",)),
    # Stable Diffusion 3
    ("joint_blocks.#.x_block.attn.qkv", within(f"{DOUBLE}.attn", _ATTENTION)),
    ("joint_blocks.#.x_block.attn2.qkv", within(f"{DOUBLE}.attn2", _ATTENTION)),
    ("joint_blocks.#.context_block.attn.qkv", within(f"{DOUBLE}.attn", _ADDED)),
    ("joint_blocks.#.x_block.attn.proj", (f"{DOUBLE}.attn.to_out.0",)),
    ("joint_blocks.#.x_block.attn2.proj", (f"{DOUBLE}.attn2.to_out.0",)),
    ("joint_blocks.#.context_block.attn.proj", (f"{DOUBLE}.attn.to_add_out",)),
    ("joint_blocks.#.x_block.mlp.fc1", (f"{DOUBLE}.ff.net.0.proj",)),
    ("joint_blocks.#.x_block.mlp.fc2", (f"{DOUBLE}.ff.net.2",)),
    ("joint_blocks.#.context_block.mlp.fc1", (f"{DOUBLE}.ff_context.net.0.proj",)),
    ("joint_blocks.#.context_block.mlp.fc2", (f"{DOUBLE}.ff_context.net.2",)),
    ("joint_blocks.#.x_block.adaLN_modulation.1", (f"{DOUBLE}.norm1.linear",)),
    ("context_embedder", ("context_embedder",)),
    ("x_embedder.proj", ("pos_embed.proj",)),
    ("t_embedder.mlp.0", ("time_text_embed.timestep_embedder.linear_1",)),
    ("t_embedder.mlp.2", ("time_text_embed.timestep_embedder.linear_2",)),
    ("y_embedder.mlp.0", ("time_text_embed.text_embedder.linear_1",)),
    ("y_embedder.mlp.2", ("time_text_embed.text_embedder.linear_2",)),
    # Lumina 2 and Z-Image
    *(
        row
        for blocks in ("layers.#", "noise_refiner.#", "context_refiner.#")
        for row in (
            (f"{blocks}.attention.qkv", within(f"{blocks}.attn", _ATTENTION)),
            (f"{blocks}.attention.qkv", within(f"{blocks}.attention", _ATTENTION)),
            (f"{blocks}.attention.out", (f"{blocks}.attn.to_out.0",)),
            (f"{blocks}.attention.out", (f"{blocks}.attention.to_out.0",)),
            (f"{blocks}.feed_forward.w1", (f"{blocks}.feed_forward.linear_1",)),
            (f"{blocks}.feed_forward.w2", (f"{blocks}.feed_forward.linear_2",)),
            (f"{blocks}.feed_forward.w3", (f"{blocks}.feed_forward.linear_3",)),
            (f"{blocks}.adaLN_modulation.1", (f"{blocks}.norm1.linear",)),
        )
    ),
)
"""The name of a layer, and of the modules that are its rows in this order."""

SHIFT_FIRST: tuple[tuple[str, str], ...] = (
    ("final_layer.adaLN_modulation.1", "norm_out.linear"),
    ("joint_blocks.#.context_block.adaLN_modulation.1", f"{DOUBLE}.norm1_context.linear"),
)
"""Where its rows are two halves, these are shift and scale, which diffusers has the other way round."""

FUSED: tuple[tuple[str, int, str], ...] = tuple(
    (name, number, fused)
    for names, fused in ((_ATTENTION, "to_qkv"), (_ATTENTION, "qkv"), (_ADDED, "to_added_qkv"))
    for number, name in enumerate(names)
)
"""Three layers in the file and one in the base: the layer, which third of the rows it is, the module."""

_BLOCK = re.compile(r"_(\d+)_")


def numbered(name: str) -> tuple[str, str]:
    """A flattened name without the number of its block, and the number."""
    found = _BLOCK.search(name)
    return (_BLOCK.sub(f"_{NUMBER}_", name, count=1), found[1]) if found else (name, "")


_ROWS: dict[str, list[tuple[str, ...]]] = {}
for _original, _modules in ORIGINAL:
    _ROWS.setdefault(flat(_original), []).append(_modules)
_HALVES = {flat(original): module for original, module in SHIFT_FIRST}


def modules_of(name: str) -> Iterator[tuple[str, ...]]:
    """The modules that are the rows of a layer, in each family that has a layer of this name."""
    pattern, number = numbered(flat(name))
    for modules in _ROWS.get(pattern, ()):
        yield tuple(module.replace(NUMBER, number) for module in modules)


def shift_first(name: str) -> str | None:
    """The module that has the halves of a layer's rows the other way round; None if the layer is none of these."""
    pattern, number = numbered(flat(name))
    module = _HALVES.get(pattern)
    return None if module is None else module.replace(NUMBER, number)
