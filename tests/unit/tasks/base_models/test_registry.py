"""models.toml: what is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.adapters.file.sidecar import named_base_models
from tasks.base_models.registry import read_base_models
from tasks.errors import BaseModelNotServed, ConfigurationError
from tests.support.base_models import DEMO_AND_SDXL, SHIPPED, switched_on

DERIVATIVES = ["illustrious", "noobai", "pony", "animagine"]
SDXL_KIND = {"ss_base_model_version": "sdxl_base_v1-0", "modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}
"""What kohya's scripts write of every derivative of SDXL."""

ENTRY = """
[[base]]
slug = "{slug}"
model = "{model}"
defaults = {{ width = {width}, height = 64, steps = 20, guidance_scale = 3.0 }}
limits = {{ min_side = 32, max_side = 128, multiple_of = 16, max_steps = 50 }}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_shipped_file_serves_the_demo_base() -> None:
    assert [model.slug for model in read_base_models(SHIPPED)] == ["demo"]


def test_every_ready_made_entry_can_be_switched_on(tmp_path: Path) -> None:
    models = read_base_models(write(tmp_path, switched_on()))

    assert [model.slug for model in models] == ["demo", "sdxl", "sd15", "sd35", "flux", *DERIVATIVES]


@pytest.mark.parametrize(
    ("slug", "metadata"),
    [
        ("sdxl", {"ss_sd_model_name": "sd_xl_base_1.0.safetensors", "ss_base_model_version": "sdxl_base_v1-0"}),
        ("sdxl", {"ss_base_model_version": "sdxl_base_v0-9"}),
        (
            "sdxl",
            {"ss_sd_model_name": "my_mix.safetensors", "modelspec.architecture": "stable-diffusion-xl-v1-base/lora"},
        ),
        ("sdxl", {"ss_base_model_version": "sdxl_1.0"}),  # ai-toolkit
        ("sdxl", {"ss_base_model_version": "sdxl_", "modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}),
        ("sd15", {"ss_sd_model_name": "v1-5-pruned.ckpt", "ss_base_model_version": "sd_v1"}),
        ("sd15", {"ss_base_model_version": "sd_1.5"}),  # ai-toolkit
        ("sd15", {"modelspec.architecture": "stable-diffusion-v1/lora"}),
        ("sd35", {"modelspec.architecture": "stable-diffusion-3-5-medium/lora"}),
        ("sd35", {"modelspec.architecture": "stable-diffusion-v3.5/lora"}),  # OneTrainer
        ("flux", {"ss_sd_model_name": "flux1-dev.safetensors", "ss_base_model_version": "flux1"}),
        ("flux", {"ss_base_model_version": "flux.1"}),  # ai-toolkit
        ("flux", {"modelspec.architecture": "flux-1-dev/lora"}),
        ("flux", {"modelspec.architecture": "Flux.1-dev/lora"}),  # OneTrainer
        *(
            (slug, {"ss_sd_model_name": f"{name}.safetensors", **SDXL_KIND})
            for slug, name in {
                "illustrious": "Illustrious-XL-v0.1",
                "noobai": "NoobAI-XL-v1.1",
                "pony": "ponyDiffusionV6XL_v6StartWithThisOne",
                "animagine": "animagine-xl-3.1",
            }.items()
        ),
    ],
)
def test_what_trainers_write_names_a_ready_made_entry(tmp_path: Path, slug: str, metadata: dict[str, str]) -> None:
    models = read_base_models(write(tmp_path, switched_on()))

    found = models.find(*named_base_models(metadata))

    assert found is not None
    assert found.slug == slug


def test_what_was_trained_on_a_derivative_goes_to_its_kind_where_that_alone_is_served() -> None:
    names = named_base_models({"ss_sd_model_name": "ponyDiffusionV6XL.safetensors", **SDXL_KIND})

    found = DEMO_AND_SDXL.find(*names)

    assert found is not None
    assert found.slug == "sdxl"


@pytest.mark.parametrize("name", ["sdxl", "stabilityai/stable-diffusion-xl-base-1.0", "SD_XL_base_1.0"])
def test_a_model_is_found_by_slug_id_and_alias_in_any_case(name: str) -> None:
    assert DEMO_AND_SDXL.named(name).slug == "sdxl"


def test_an_unknown_model_is_answered_with_those_that_are_served() -> None:
    with pytest.raises(BaseModelNotServed, match="Choose one of: demo, sdxl"):
        DEMO_AND_SDXL.named("sd2")


def test_the_first_model_is_the_default() -> None:
    assert DEMO_AND_SDXL.default.slug == "demo"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[base]", "is not valid TOML"),
        ("", "base: Field required"),
        (ENTRY.format(slug="Demo!", model="a/b", width=64), "base.0.slug"),
        (ENTRY.format(slug="a", model="a/b", width=60), "default side 60 is outside"),
        (ENTRY.format(slug="a", model="x/y", width=64) * 2, "names more than one base model"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_base_models(write(tmp_path, text))


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Set STOKEHOLD_MODELS_FILE"):
        read_base_models(tmp_path / "nowhere.toml")
