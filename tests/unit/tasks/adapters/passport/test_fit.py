"""The fit of an adapter, foreseen from names and shapes alone: as the worker then finds it, in every format."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from tasks.adapters.file.safetensors import read_header
from tasks.adapters.passport.fit import Fit, Verdict, fit
from tasks.adapters.passport.layers import layers_of
from tasks.base_models.shapes import BaseShapes
from tasks.errors import AdapterLoadFailed
from tests.support.base_models import served_model
from tests.support.loras import FORMATS, State, as_kohya, random_lora, write
from tests.support.pipelines import ARCHITECTURES, build
from workers.adapters.parser import parse_adapter
from workers.adapters.shapes import shapes_of
from workers.adapters.shell import LoaderShell

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

MODEL = served_model("demo", "demo/base")
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
Change = Callable[[State], State]


class Base:
    """A pipeline, what its worker tells of it, and a LoRA for each of its components."""

    def __init__(self, architecture: str) -> None:
        pipeline = build(architecture)
        self.shell = LoaderShell(pipeline)
        self.shapes = BaseShapes.model_validate_json(shapes_of(MODEL, self.shell).model_dump_json())
        self.lora = random_lora(pipeline)
        self.denoiser = next(name for name in self.shapes.components if not name.startswith("text"))

    def only_denoiser(self) -> State:
        return {key: value for key, value in self.lora.items() if key.startswith(f"{self.denoiser}.")}


@cache
def base_of(architecture: str) -> Base:
    """One for all tests."""
    return Base(architecture)


@pytest.fixture(params=list(ARCHITECTURES))
def base(request: pytest.FixtureRequest) -> Base:
    return base_of(request.param)


@pytest.fixture
def sdxl() -> Base:
    return base_of("sdxl")


def foreseen(base: Base, state: State, folder: Path) -> Fit:
    """The judgement, from the header of the file alone."""
    header = read_header(write(state, folder / "adapter.safetensors"))
    return fit(layers_of(header.shapes), base.shapes)


def matched_by_worker(base: Base, state: State, folder: Path) -> int | None:
    """How many weights the worker finds for the file; None where it refuses it."""
    path = write(state, folder / "adapter.safetensors")
    try:
        parsed = parse_adapter(base.shell, path, "adapter")
    except AdapterLoadFailed:
        return None
    return len([name for name in parsed.changes if name.endswith(".weight")])


def as_original(base: Base, state: State) -> State:
    """kohya's file for a UNet that it trained in its first implementation, as it does for SDXL."""
    names = {module.name: module.other_names[-1] for module in base.shapes.modules if module.name.startswith("unet.")}
    written = {}
    for key, value in state.items():
        name = key.removesuffix(DOWN).removesuffix(UP)
        written[f"{names[name]}.lora_{'down' if key.endswith(DOWN) else 'up'}.weight"] = value
    return written


def test_what_is_written_for_the_base_is_accepted_as_the_worker_finds_it(base: Base, tmp_path: Path) -> None:
    found = foreseen(base, base.lora, tmp_path)

    assert (found.verdict, found.unmatched, found.warnings) == (Verdict.ACCEPTED, (), ())
    assert found.matched == matched_by_worker(base, base.lora, tmp_path)


@pytest.mark.parametrize("architecture", ["sd15", "sdxl"])
@pytest.mark.parametrize("name", list(FORMATS))
def test_every_format_of_a_unet_is_accepted(architecture: str, name: str, tmp_path: Path) -> None:
    base = base_of(architecture)
    state = FORMATS[name](base.lora)

    found = foreseen(base, state, tmp_path)

    assert (found.verdict, found.unmatched) == (Verdict.ACCEPTED, ())
    assert found.matched == matched_by_worker(base, state, tmp_path)


def test_kohya_s_names_of_the_first_implementation_are_accepted(sdxl: Base, tmp_path: Path) -> None:
    state = as_original(sdxl, sdxl.only_denoiser())
    assert any(key.startswith("lora_unet_input_blocks_") for key in state)

    found = foreseen(sdxl, state, tmp_path)

    assert (found.verdict, found.unmatched) == (Verdict.ACCEPTED, ())
    assert found.matched == matched_by_worker(sdxl, state, tmp_path)


def renamed(start: str) -> Change:
    return lambda state: {key.replace("unet.", start, 1): value for key, value in state.items()}


def without(part: str) -> Change:
    return lambda state: {key: value for key, value in state.items() if part not in key}


def with_more(**tensors: torch.Tensor) -> Change:
    return lambda state: {**state, **{key.replace("__", "."): value for key, value in tensors.items()}}


def kohya(change: Change) -> Change:
    return lambda state: change(as_kohya(state))


def wider(state: State) -> State:
    return {key: torch.zeros(4, 96) if key.endswith(f"attn2.to_k{DOWN}") else value for key, value in state.items()}


def mixed(state: State) -> State:
    return {
        **as_kohya(state),
        "unet.lost.lora_A.weight": torch.zeros(4, 8),
        "unet.lost.lora_B.weight": torch.zeros(8, 4),
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (wider, r"its `unet\..*attn2\.to_k` takes 96 inputs, this base has 64"),
        (without(UP), "one of the two factors of `unet.* is missing"),
    ],
)
def test_what_the_worker_would_refuse_is_rejected_with_the_reason(
    sdxl: Base, change: Change, reason: str, tmp_path: Path
) -> None:
    state = change(sdxl.only_denoiser())

    found = foreseen(sdxl, state, tmp_path)

    assert found.verdict is Verdict.REJECTED
    assert re.search(reason, found.reason)
    assert matched_by_worker(sdxl, state, tmp_path) is None


FLUX_KOHYA = {
    "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.zeros(4, 3072),
    "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": torch.zeros(9216, 4),
}
XL_LAYER = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
XL_KOHYA = {
    f"{XL_LAYER}.lora_down.weight": torch.zeros(4, 2048),
    f"{XL_LAYER}.lora_up.weight": torch.zeros(640, 4),
}


@pytest.mark.parametrize(
    ("architecture", "state", "verdict", "reason"),
    [
        ("sdxl", FLUX_KOHYA, Verdict.REJECTED, "made for FLUX: 0 of its layers fit"),
        ("flux", XL_KOHYA, Verdict.REJECTED, "made for SDXL: 0 of its layers fit"),
        ("flux", FLUX_KOHYA, Verdict.UNKNOWN, "only a worker can match"),
    ],
)
def test_a_family_is_named_where_its_layers_tell_and_a_naming_of_the_same_one_is_left_open(
    architecture: str, state: State, verdict: Verdict, reason: str, tmp_path: Path
) -> None:
    found = foreseen(base_of(architecture), state, tmp_path)

    assert found.verdict is verdict
    assert reason in found.reason


@pytest.mark.parametrize("key", ["{name}.lora_magnitude_vector", "{kohya}.dora_scale"])
def test_dora_is_accepted(sdxl: Base, key: str, tmp_path: Path) -> None:
    name = next(iter(sdxl.lora)).removesuffix(DOWN)
    layer = {f"{name}{end}": sdxl.lora[f"{name}{end}"] for end in (DOWN, UP)}
    written = as_kohya(layer) if "kohya" in key else layer
    magnitude = key.format(name=name, kohya=next(iter(written)).partition(".")[0])

    found = foreseen(sdxl, {**written, magnitude: torch.ones(len(layer[f"{name}{UP}"]))}, tmp_path)

    assert (found.verdict, found.warnings) == (Verdict.ACCEPTED, ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (renamed(""), "only a worker can match"),
        (renamed("base_model.model."), "only a worker can match"),
        (with_more(unet__norm__weight=torch.zeros(2)), "other things than low-rank factors, such as unet.norm.weight"),
        (kohya(with_more(lora_unet_norm__diff=torch.zeros(2))), "such as lora_unet_norm.diff"),
        (mixed, "85 of its layers fit"),
    ],
)
def test_what_only_a_worker_can_judge_is_not_rejected(sdxl: Base, change: Change, reason: str, tmp_path: Path) -> None:
    state = change(sdxl.only_denoiser())

    found = foreseen(sdxl, state, tmp_path)

    assert found.verdict is not Verdict.REJECTED
    assert reason in found.reason
    assert matched_by_worker(sdxl, state, tmp_path) == 85


def test_a_few_keys_that_have_no_place_are_a_warning(sdxl: Base, tmp_path: Path) -> None:
    lost = {"unet.lost.lora_A.weight": torch.zeros(4, 8), "unet.lost.lora_B.weight": torch.zeros(8, 4)}
    state = {**sdxl.lora, **lost}

    found = foreseen(sdxl, state, tmp_path)

    assert found.verdict is Verdict.ACCEPTED
    assert set(found.unmatched) == set(lost)
    assert "2 of its keys have no place here" in found.warnings[0]
    assert found.matched == matched_by_worker(sdxl, state, tmp_path)
