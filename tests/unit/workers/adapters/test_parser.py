"""The meaning of an adapter's file: its own tensors and metadata say what changes, and how strongly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tasks.errors import AdapterLoadFailed, AdapterWithoutEffect
from tests.support.pipelines import build
from workers.adapters.parser import parse_adapter
from workers.adapters.shell import LoaderShell
from workers.swap.parsed_adapter import ParsedAdapter

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

State = dict[str, torch.Tensor]
Parse = Callable[..., ParsedAdapter]

ATTENTION = "mid_block.attentions.0.transformer_blocks.0.attn1"
QUERY, KEY = f"unet.{ATTENTION}.to_q", f"unet.{ATTENTION}.to_k"
FLAT_QUERY = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
WIDTH = 64
RANK = 4


@cache
def shell_of(architecture: str) -> LoaderShell:
    """One for all tests: it keeps nothing of what it reads."""
    return LoaderShell(build(architecture))


@pytest.fixture
def parse(tmp_path: Path) -> Parse:
    def parse(
        state: State,
        architecture: str = "sd15",
        metadata: Mapping[str, str] | None = None,
        config: Mapping[str, object] | None = None,
    ) -> ParsedAdapter:
        path = tmp_path / "adapter.safetensors"
        save_file({key: value.contiguous() for key, value in state.items()}, path, metadata=dict(metadata or {}))
        return parse_adapter(shell_of(architecture), path, "adapter", config)

    return parse


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def lora(name: str, outputs: int = WIDTH, inputs: int = WIDTH, rank: int = RANK) -> State:
    """A layer as diffusers writes it."""
    return {f"{name}.lora_A.weight": random(rank, inputs), f"{name}.lora_B.weight": random(outputs, rank, seed=1)}


def kohya(name: str, outputs: int = WIDTH, inputs: int = WIDTH, rank: int = RANK) -> State:
    """A layer as sd-scripts writes it, without its alpha."""
    return {f"{name}.lora_down.weight": random(rank, inputs), f"{name}.lora_up.weight": random(outputs, rank, seed=1)}


def product(outputs: int = WIDTH, inputs: int = WIDTH) -> torch.Tensor:
    """What such a layer adds at full strength."""
    return random(outputs, RANK, seed=1) @ random(RANK, inputs)


def added(parsed: ParsedAdapter, name: str, pristine: torch.Tensor) -> torch.Tensor:
    """What an adapter adds to a weight."""
    return sum((change.delta(pristine) for change in parsed.changes[name]), torch.zeros_like(pristine))


def strength_of(parsed: ParsedAdapter, name: str = QUERY) -> float:
    """How much of the product a layer adds."""
    return float(added(parsed, f"{name}.weight", torch.zeros(WIDTH, WIDTH)).norm() / product().norm())


@pytest.mark.parametrize(
    ("alpha", "strength"),
    [
        (torch.tensor(8.0), 2.0),
        (torch.tensor([1.0], dtype=torch.bfloat16), 0.25),
        (torch.tensor([[2]]), 0.5),
        (torch.tensor(2.0).to(torch.float8_e4m3fn), 0.5),
        (torch.tensor(0.0), 1.0),  # sd-scripts: the rank
        (torch.tensor(1e-12, dtype=torch.float64), 2.5e-13),
    ],
    ids=str,
)
def test_an_alpha_counts_whatever_its_type_and_shape(parse: Parse, alpha: torch.Tensor, strength: float) -> None:
    parsed = parse({**kohya(FLAT_QUERY), f"{FLAT_QUERY}.alpha": alpha})

    assert strength_of(parsed) == pytest.approx(strength)


@pytest.mark.parametrize("name", [FLAT_QUERY, "diffusion_model.double_blocks.0.img_attn.proj"])
def test_a_negative_alpha_is_a_number_like_others(parse: Parse, name: str) -> None:
    architecture, width = ("sd15", 64) if name == FLAT_QUERY else ("flux", 32)

    parsed = parse({**kohya(name, width, width), f"{name}.alpha": torch.tensor(-2.0)}, architecture)

    (weight,) = parsed.changes
    assert torch.allclose(added(parsed, weight, torch.zeros(width, width)), -0.5 * product(width, width))


@pytest.mark.parametrize("alpha", [torch.tensor(float("nan")), torch.tensor(float("inf")), torch.ones(2)], ids=str)
def test_an_alpha_that_is_not_one_finite_number_is_refused(parse: Parse, alpha: torch.Tensor) -> None:
    with pytest.raises(AdapterLoadFailed, match="an alpha that is not a finite number"):
        parse({**kohya(FLAT_QUERY), f"{FLAT_QUERY}.alpha": alpha})


def test_a_layer_without_an_alpha_has_full_strength_whatever_the_others_have(parse: Parse) -> None:
    key = FLAT_QUERY.replace("to_q", "to_k")

    parsed = parse({**kohya(FLAT_QUERY), **kohya(key), f"{key}.alpha": torch.tensor(1.0)})

    assert strength_of(parsed) == pytest.approx(1)
    assert strength_of(parsed, KEY) == pytest.approx(0.25)


@pytest.mark.parametrize("name", ["ss_network_alpha", "lora_alpha", "network_alpha", "alpha"])
def test_an_alpha_of_the_metadata_counts_where_the_layer_has_none(parse: Parse, name: str) -> None:
    key = FLAT_QUERY.replace("to_q", "to_k")

    parsed = parse(
        {**kohya(FLAT_QUERY), **kohya(key), f"{key}.alpha": torch.tensor(2.0)}, metadata={name: "1.0", "rank": "4"}
    )

    assert strength_of(parsed) == pytest.approx(0.25)
    assert strength_of(parsed, KEY) == pytest.approx(0.5)


def test_a_metadata_s_none_is_no_alpha(parse: Parse) -> None:
    assert strength_of(parse(kohya(FLAT_QUERY), metadata={"ss_network_alpha": "None"})) == pytest.approx(1)


def of_diffusers(**options: object) -> dict[str, str]:
    return {"lora_adapter_metadata": json.dumps({f"unet.{name}": value for name, value in options.items()})}


@pytest.mark.parametrize(
    ("options", "strength"),
    [
        ({"lora_alpha": 2}, 0.5),
        ({"lora_alpha": 2, "use_rslora": True}, 1.0),
        ({"lora_alpha": 2, "alpha_pattern": {f"{ATTENTION}.to_q": 8}}, 2.0),
        ({"lora_alpha": 2, "alpha_pattern": {"attn1.to_q": 8}}, 2.0),
        ({"lora_alpha": 2, "alpha_pattern": {f"^{ATTENTION}.to_q$": 8}}, 2.0),
        ({"lora_alpha": 2, "alpha_pattern": {r".*\.to_q": 8}}, 2.0),
        ({"lora_alpha": 2, "alpha_pattern": {"o_q": 8}}, 0.5),  # no name of a module ends so
        ({"lora_alpha": 2, "lora_dropout": 0.5, "target_modules": ["to_q"]}, 0.5),
    ],
    ids=str,
)
def test_the_metadata_of_diffusers_names_alphas(parse: Parse, options: dict[str, object], strength: float) -> None:
    assert strength_of(parse(lora(QUERY), metadata=of_diffusers(**options))) == pytest.approx(strength)


def test_a_configuration_beside_the_file_names_an_alpha(parse: Parse) -> None:
    parsed = parse(lora("base_model.model." + QUERY.removeprefix("unet.")), config={"r": 4, "lora_alpha": 1})

    assert strength_of(parsed) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (of_diffusers(alpha_pattern={r"([a-z0-9_]+\.?)+!": 8}), "expressions are not run here"),
        (of_diffusers(alpha_pattern={"to_q": "much"}), "not a finite number, of to_q"),
        (of_diffusers(alpha_pattern=[1]), "alpha_pattern in its metadata that is not an object"),
        (of_diffusers(lora_alpha=1e999), "not a finite number"),
        (of_diffusers(init_lora_weights="pissa_niter_4"), "'pissa_niter_4', which changes the base model too"),
        (of_diffusers(init_lora_weights="olora"), "'olora', which changes the base model too"),
        (of_diffusers(use_dora=True), "says that it is a DoRA, and has no magnitude"),
        ({"lora_adapter_metadata": "{"}, "not valid JSON"),
        ({"lora_adapter_metadata": "[" * 100_000}, "not valid JSON"),
        ({"lora_adapter_metadata": "[]"}, "not a JSON object"),
        ({"ss_network_alpha": "four"}, "not a finite number, of ss_network_alpha"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_metadata_that_cannot_be_followed_is_refused(parse: Parse, metadata: dict[str, str], sentence: str) -> None:
    with pytest.raises(AdapterLoadFailed, match=f"^Adapter 'adapter' .*{sentence}"):
        parse(lora(QUERY), metadata=metadata)


@pytest.mark.parametrize(
    "name",
    [
        QUERY,
        QUERY.removeprefix("unet."),
        QUERY.replace("unet.", "diffusion_model."),
        QUERY.replace("unet.", "base_model.model."),
        "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q",
        "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q",
        "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q",
        "lycoris_mid_block_attentions_0_transformer_blocks_0_attn1_to_q",
        FLAT_QUERY,
    ],
)
@pytest.mark.parametrize("write", [lora, kohya])
def test_a_layer_is_found_under_every_name(parse: Parse, name: str, write: Callable[[str], State]) -> None:
    parsed = parse(write(name))

    assert list(parsed.changes) == [f"{QUERY}.weight"]
    assert strength_of(parsed) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["lora_A.default.weight", "lora_A.style.weight", "lora.down.weight"])
def test_a_kind_is_known_in_every_spelling(parse: Parse, kind: str) -> None:
    other = kind.replace("lora_A", "lora_B").replace("down", "up")

    parsed = parse({f"{QUERY}.{kind}": random(4, 64), f"{QUERY}.{other}": random(64, 4, seed=1)})

    assert strength_of(parsed) == pytest.approx(1)


def blocks_of_xlabs(number: int) -> State:
    name = f"double_blocks.0.processor.qkv_lora{number}"
    return {f"{name}.down.weight": random(4, 32), f"{name}.up.weight": random(96, 4, seed=1)}


@pytest.mark.parametrize(
    ("state", "names"),
    [
        (blocks_of_xlabs(1), ("to_q", "to_k", "to_v")),
        (blocks_of_xlabs(2), ("add_q_proj", "add_k_proj", "add_v_proj")),
        (kohya("lora_unet_double_blocks_0_img_attn_qkv", 96, 32), ("to_q", "to_k", "to_v")),
        (lora("diffusion_model.double_blocks.0.txt_attn.qkv", 96, 32), ("add_q_proj", "add_k_proj", "add_v_proj")),
    ],
    ids=lambda value: str(next(iter(value))),
)
def test_one_layer_of_the_file_may_be_three_of_the_base(parse: Parse, state: State, names: tuple[str, ...]) -> None:
    parsed = parse(state, "flux")

    parts = [
        added(parsed, f"transformer.transformer_blocks.0.attn.{name}.weight", torch.zeros(32, 32)) for name in names
    ]
    assert len(parsed.changes) == 3
    assert torch.allclose(torch.cat(parts), product(96, 32))


def test_the_fused_layer_of_a_single_block_is_four_whatever_the_width(parse: Parse) -> None:
    parsed = parse(kohya("lora_unet_single_blocks_0_linear1", 224, 32), "flux")

    block = "transformer.single_transformer_blocks.0"
    names = [*(f"{block}.attn.to_{part}.weight" for part in "qkv"), f"{block}.proj_mlp.weight"]
    parts = [
        added(parsed, name, torch.zeros(len(rows), 32))
        for name, rows in zip(names, [range(32)] * 3 + [range(128)], strict=True)
    ]
    assert torch.allclose(torch.cat(parts), product(224, 32))


def test_shift_and_scale_change_places(parse: Parse) -> None:
    parsed = parse(kohya("lora_unet_final_layer_adaLN_modulation_1", 64, 32), "flux")

    whole = product(64, 32)
    found = added(parsed, "transformer.norm_out.linear.weight", torch.zeros(64, 32))
    assert torch.allclose(found, torch.cat([whole[32:], whole[:32]]))


def test_conventions_may_be_mixed_in_one_file(parse: Parse) -> None:
    state = {
        **lora("transformer.transformer_blocks.0.attn.to_out.0", 32, 32),
        **kohya("lora_unet_double_blocks_0_img_mlp_2", 32, 128),
        **kohya("lora_transformer_transformer_blocks_0_attn_to_q", 32, 32),
        **kohya("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", 32, 32),
        **lora("text_encoders.clip_l.transformer.text_model.encoder.layers.1.mlp.fc1", 48, 32),
    }

    parsed = parse(state, "flux")

    assert sorted(parsed.changes) == [
        "text_encoder.encoder.layers.0.self_attn.q_proj.weight",
        "text_encoder.encoder.layers.1.mlp.fc1.weight",
        "transformer.transformer_blocks.0.attn.to_out.0.weight",
        "transformer.transformer_blocks.0.attn.to_q.weight",
        "transformer.transformer_blocks.0.ff.net.2.weight",
    ]
    assert parsed.unmatched == {}


def test_a_layer_that_stands_twice_in_a_file_counts_once(parse: Parse) -> None:
    parsed = parse({**lora(QUERY), **kohya(FLAT_QUERY)})

    assert strength_of(parsed) == pytest.approx(1)
    assert set(parsed.unmatched) in (set(lora(QUERY)), set(kohya(FLAT_QUERY)))
    assert "twice" in next(iter(parsed.unmatched.values()))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("unet.nowhere.lora_A.weight", "no layer of this name"),
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_q.lora_down.weight", "no text encoder"),
        ("bundle_emb.style.string_to_param.*", "pivotal tuning"),
        ("clip_l", "pivotal tuning"),
        ("emb_params", "pivotal tuning"),
        ("unet.conv_in.weight", "whole weight"),
        (f"{KEY}.alpha", "nothing beside it that alpha belongs to"),
        ("lora_note", "no kind that is read here"),
        (f"{KEY}.a1.weight", "GLoRA"),
    ],
)
def test_a_tensor_that_changes_nothing_is_listed_with_the_reason(parse: Parse, key: str, reason: str) -> None:
    parsed = parse({**lora(QUERY), **lora(QUERY.replace("to_q", "to_v")), key: torch.ones(1)})

    assert list(parsed.unmatched) == [key]
    assert reason in parsed.unmatched[key]


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({f"{QUERY}.lora_A.weight": torch.ones(4, 64)}, r"lacks unet.*to_q \(up\)"),
        ({f"{QUERY}.hada_w1_a": torch.ones(64, 4)}, r"lacks unet.*to_q \(hada_w1_b\)"),
        ({f"{QUERY}.lokr_w1": torch.ones(4, 4)}, r"lacks unet.*to_q \(lokr_w2_a\)"),
        ({f"{QUERY}.dora_scale": torch.ones(64)}, "has a magnitude for unet.*to_q and nothing beside it"),
        ({f"{QUERY}.on_input": torch.tensor(True)}, r"lacks unet.*to_q \(weight\)"),
        ({**lora(QUERY), f"{QUERY}.lora_B.bias": torch.ones(64)}, "has a bias for unet.*to_q, which has none"),
        (lora(QUERY, outputs=63), "was not made for this base model: its unet.*63"),
        (lora(QUERY, inputs=63), "was not made for this base model: its unet.*63"),
        (lora("unet.conv_in", 32, 4 * 9 + 1), "was not made for this base model"),
        ({f"{QUERY}.oft_blocks": torch.ones(3, 4, 4)}, "was not made for this base model"),
        ({f"{QUERY}.lokr_w1": torch.ones(4, 4), f"{QUERY}.lokr_w2": torch.ones(4, 4)}, "Kronecker product"),
        ({"ip_adapter.1.to_k_ip.weight": torch.ones(4, 4)}, "is an IP-Adapter"),
        ({**lora(QUERY), "lora_controlnet": torch.ones(1)}, "is a ControlNet"),
        ({**lora(QUERY), **lora("unet.a"), **lora("unet.b")}, "1 of its layers fit, and 2 do not, such as unet.a"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_cannot_be_right_is_refused(parse: Parse, state: State, sentence: str) -> None:
    with pytest.raises(AdapterLoadFailed, match=f"^Adapter 'adapter' .*{sentence}"):
        parse(state)


@pytest.mark.parametrize(
    "state",
    [
        {f"{QUERY}.ia3_l": torch.ones(4, 8).to(torch.float8_e4m3fn)},
        {f"{QUERY}.ia3_l": torch.ones(4, 8, dtype=torch.bool)},
        {"unet.conv_norm_out.oft_blocks": torch.ones(8, 4, 4)},
        {f"{QUERY}.oft_blocks": torch.full((16, 4, 4), float("inf"))},
        {f"{QUERY}.oft_blocks": torch.ones(6, 16, 4, 4)},
        {f"{QUERY}.oft_blocks": torch.ones(2, 64, 1, 1)},
        {
            f"{QUERY}.lokr_w1": torch.ones(4, 4),
            f"{QUERY}.lokr_w2_a": torch.ones(16, 2),
            f"{QUERY}.lokr_w2_b": torch.ones(1),
        },
        {f"{QUERY}.lora_A.weight": torch.ones(()), f"{QUERY}.lora_B.weight": torch.ones(64, 4)},
        {f"{QUERY}.hada_{part}": torch.ones(0, 0) for part in ("w1_a", "w1_b", "w2_a", "w2_b")},
        {f"{QUERY}.diff": torch.ones(())},
        {**lora(QUERY), f"{QUERY}.lora_magnitude_vector": torch.ones(())},
        {**lora(QUERY), f"{QUERY}.lora_mid.weight": torch.ones(())},
    ],
    ids=lambda state: f"{list(state)[-1][-12:]}",
)
def test_tensors_of_impossible_shapes_and_types_are_refused_with_a_sentence(parse: Parse, state: State) -> None:
    with pytest.raises(AdapterLoadFailed, match=r"^Adapter 'adapter' "):
        parse(state)


@pytest.mark.parametrize("state", [lora("unet.nowhere"), lora("unet.mid_block"), {"model.weight": torch.ones(4)}])
def test_a_file_without_effect_has_a_code_of_its_own(parse: Parse, state: State) -> None:
    with pytest.raises(AdapterWithoutEffect, match="not made for this base model"):
        parse(state)


def test_a_layer_with_fewer_inputs_leaves_the_others_of_the_base_alone(parse: Parse) -> None:
    parsed = parse(lora("transformer.x_embedder", 32, 3), "flux")

    found = added(parsed, "transformer.x_embedder.weight", torch.zeros(32, 4))
    assert torch.allclose(found[:, :3], product(32, 3))
    assert not found[:, 3].any()


def test_a_control_lora_is_refused_by_its_name(parse: Parse) -> None:
    with pytest.raises(AdapterLoadFailed, match=r"as a Control LoRA does: its transformer\.x_embedder takes 8 inputs"):
        parse({**lora("transformer.x_embedder", 32, 8), **lora("transformer.proj_out", 4, 32)}, "flux")


def test_a_norm_of_the_file_takes_the_place_of_the_base_s(parse: Parse) -> None:
    name = "transformer.transformer_blocks.0.attn.norm_q"

    parsed = parse({f"{name}.weight": torch.full((16,), 3.0)}, "flux")

    assert torch.equal(added(parsed, f"{name}.weight", torch.ones(16)), torch.full((16,), 2.0))


@pytest.mark.parametrize(
    ("key", "shape"), [("lora_magnitude_vector", (64,)), ("dora_scale", (64, 1)), ("dora_scale", (1, 64))]
)
def test_magnitudes_set_the_norms_of_outputs_or_inputs(parse: Parse, key: str, shape: tuple[int, ...]) -> None:
    pristine = random(WIDTH, WIDTH, seed=2)

    parsed = parse({**lora(QUERY), f"{QUERY}.{key}": torch.full(shape, 3.0)})

    weight = pristine + added(parsed, f"{QUERY}.weight", pristine)
    norms = torch.linalg.vector_norm(weight, dim=0 if shape[0] == 1 else 1)
    assert torch.allclose(norms, torch.full((64,), 3.0))


def test_a_kronecker_product_of_a_fused_layer_is_divided(parse: Parse) -> None:
    left, right = random(6, 4), random(16, 8, seed=1)
    name = "diffusion_model.double_blocks.0.img_attn.qkv"

    parsed = parse({f"{name}.lokr_w1": left, f"{name}.lokr_w2": right}, "flux")

    block = "transformer.transformer_blocks.0.attn"
    parts = [added(parsed, f"{block}.to_{part}.weight", torch.zeros(32, 32)) for part in "qkv"]
    assert torch.allclose(torch.cat(parts), torch.kron(left, right))


@pytest.mark.parametrize(
    ("metadata", "alpha", "strength"),
    [
        ({}, None, (1, 1, ("nowhere",))),
        ({}, 2.0, (0.5, 1, ("nowhere", "tensors"))),
        ({"alpha": "8"}, None, (2, 2, ("metadata",))),
    ],
)
def test_the_strengths_that_are_applied_are_told(
    parse: Parse, metadata: dict[str, str], alpha: Any, strength: Any
) -> None:
    own = {} if alpha is None else {f"{FLAT_QUERY}.alpha": torch.tensor(alpha)}

    parsed = parse({**kohya(FLAT_QUERY), **own, **lora(KEY)}, metadata=metadata)

    assert parsed.strength is not None
    assert (parsed.strength.lowest, parsed.strength.highest, parsed.strength.alphas_from) == strength
