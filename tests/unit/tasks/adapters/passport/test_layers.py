"""Files sorted into layers, families told apart, and alphas found, from names, shapes and metadata alone."""

from __future__ import annotations

import json

import pytest

from tasks.adapters.file.safetensors import Shape
from tasks.adapters.passport.facts import alphas_of
from tasks.adapters.passport.layers import Format, Part, layers_of
from tasks.base_models.families import Family, family_of

DOWN, UP = (4, 64), (64, 4)


def pair(down: str, up: str) -> dict[str, Shape]:
    return {down: DOWN, up: UP}


FILES: dict[Format, dict[str, Shape]] = {
    Format.DIFFUSERS: pair("unet.a.to_k.lora_A.weight", "unet.a.to_k.lora_B.weight"),
    Format.PEFT: pair("base_model.model.a.to_k.lora_A.weight", "base_model.model.a.to_k.lora_B.weight"),
    Format.KOHYA: {
        **pair("lora_unet_a_to_k.lora_down.weight", "lora_unet_a_to_k.lora_up.weight"),
        "lora_unet_a_to_k.alpha": (),
    },
    Format.ATTENTION_PROCESSORS: pair(
        "unet.a.processor.to_out_lora.down.weight", "unet.a.processor.to_out_lora.up.weight"
    ),
    Format.LOHA: {f"lora_unet_a.hada_w{number}_{side}": (4, 4) for number in (1, 2) for side in "ab"},
    Format.LOKR: {"lora_unet_a.lokr_w1": (4, 4), "lora_unet_a.lokr_w2_a": (4, 4), "lora_unet_a.lokr_w2_b": (4, 4)},
    Format.OTHER: pair("blocks.0.lora_A.weight", "blocks.0.lora_B.weight"),
}


@pytest.mark.parametrize("name", Format)
def test_every_format_is_recognised_and_its_tensors_are_one_layer(name: Format) -> None:
    found = layers_of(FILES[name])

    assert found.format is name
    assert found.has_factors
    assert found.other_keys == ()
    (layer,) = found.layers.values()
    assert sorted(layer.keys) == sorted(FILES[name])
    assert found.ranks == (() if name in {Format.LOHA, Format.LOKR} else (4,))


@pytest.mark.parametrize(
    ("key", "module"),
    [
        ("unet.a.attn1.processor.to_out_lora.down.weight", "unet.a.attn1.to_out.0"),
        ("unet.a.attn1.processor.to_q_lora.up.weight", "unet.a.attn1.to_q"),
        ("text_encoder.a.self_attn.to_out_lora.down.weight", "text_encoder.a.self_attn.out_proj"),
        ("unet.a.lora.down.weight", "unet.a"),
        ("text_encoder.a.mlp.fc1.lora_linear_layer.up.weight", "text_encoder.a.mlp.fc1"),
        ("unet.a.lora_B.bias", "unet.a"),
        ("unet.a.lora_magnitude_vector", "unet.a"),
        ("lora_te1_a.dora_scale", "lora_te1_a"),
    ],
)
def test_a_tensor_belongs_to_its_module_however_it_is_written(key: str, module: str) -> None:
    assert list(layers_of({key: DOWN}).layers) == [module]


def test_what_is_no_layer_s_tensor_is_set_apart() -> None:
    found = layers_of({"model.embed.weight": (8, 8), "lora_unet_a.diff": (8,), "alpha": ()})

    assert found.has_factors
    assert found.other_keys == ("model.embed.weight", "lora_unet_a.diff", "alpha")


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        (["unet.a.lora_A.weight"], (Part.DENOISER,)),
        (["lora_te2_a.lora_down.weight"], (Part.TEXT_ENCODER,)),
        (["text_encoder.a.lora_A.weight", "transformer.a.lora_A.weight"], (Part.DENOISER, Part.TEXT_ENCODER)),
    ],
)
def test_the_parts_follow_from_the_names(keys: list[str], parts: tuple[Part, ...]) -> None:
    assert layers_of(dict.fromkeys(keys, DOWN)).parts == parts


@pytest.mark.parametrize(
    ("name", "inputs", "family"),
    [
        ("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", 768, Family.SD15),
        ("lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_v", 1024, Family.SD2),
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", 2048, Family.SDXL),
        ("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", 64, None),
        ("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k", 768, None),
        ("lora_unet_double_blocks_0_img_attn_qkv", 3072, Family.FLUX),
        ("transformer.single_transformer_blocks.0.attn.to_q", 3072, Family.FLUX),
        ("transformer.single_transformer_blocks.0.attn.to_q", 6144, None),  # FLUX.2
        ("transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj", 3072, None),  # its smallest
        ("transformer.transformer_blocks.0.attn.add_k_proj", 3072, None),  # FLUX, Qwen-Image, AuraFlow
        ("transformer.transformer_blocks.0.attn.add_k_proj", 6144, None),
        ("transformer.transformer_blocks.0.attn.add_k_proj", 2432, Family.SD3),
        ("transformer.transformer_blocks.0.attn.add_k_proj", 1536, Family.SD3),
        ("lora_unet_joint_blocks_0_x_block_attn_qkv", 1536, Family.SD3),
    ],
)
def test_a_family_is_told_by_names_and_widths(name: str, inputs: int, family: Family | None) -> None:
    assert family_of([(name, inputs)]) is family


@pytest.mark.parametrize(
    ("metadata", "alphas"),
    [
        ({}, set()),
        ({"ss_network_alpha": "16.0"}, {16.0}),
        ({"ss_network_alpha": "None"}, set()),
        ({"ss_network_alpha": "nan"}, set()),
        ({"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 8, "unet.alpha_pattern": {"a": 4}})}, {4.0, 8.0}),
        ({"lora_adapter_metadata": "[1, 2"}, set()),
        ({"lora_adapter_metadata": "[1, 2]"}, set()),
        ({"lora_adapter_metadata": '{"unet.lora_alpha": 1e999, "text_encoder.lora_alpha": true}'}, {1.0}),
    ],
)
def test_alphas_are_those_that_the_metadata_names(metadata: dict[str, str], alphas: set[float]) -> None:
    assert alphas_of(metadata) == alphas
