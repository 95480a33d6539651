"""models.toml: what is served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.base_models.registry import read_base_models
from tasks.errors import BaseModelNotServed, ConfigurationError
from tests.support.base_models import DEMO_AND_SDXL

SHIPPED = Path(__file__).parents[4] / "models.toml"

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
    switched_on = re.sub(r"(?m)^# (?=\[\[|[a-z_]+ = )", "", SHIPPED.read_text("utf-8"))

    models = read_base_models(write(tmp_path, switched_on))

    assert [model.slug for model in models] == ["demo", "sdxl", "sd15", "sd35", "flux"]


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
