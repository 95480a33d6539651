"""Base models for tests that need names and limits, and no weights."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tasks.base_models.registry import BaseModels, Defaults, Limits, ModelsFile, ServedModel

SHIPPED = Path(__file__).parents[2] / "models.toml"


def switched_on() -> str:
    """The shipped file with every ready-made entry, as its comment says to make it."""
    return re.sub(r'(?m)^# (?=\[\[|[a-z_]+ = |  "|\])', "", SHIPPED.read_text("utf-8"))


def ready_made(slug: str) -> ServedModel:
    """A ready-made entry of the shipped file."""
    entries = ModelsFile.model_validate(tomllib.loads(switched_on())).base
    return next(model for model in entries if model.slug == slug)


def served_model(slug: str, model: str, *aliases: str) -> ServedModel:
    """A base model of this slug, id and aliases that draws 64 x 64 pixels."""
    return ServedModel(
        slug=slug,
        model=model,
        aliases=aliases,
        defaults=Defaults(width=64, height=64, steps=20, guidance_scale=3.0),
        limits=Limits(min_side=32, max_side=128, multiple_of=16),
    )


DEMO_AND_SDXL = BaseModels(
    (
        served_model("demo", "demo/base", "stokehold/demo"),
        served_model("sdxl", ready_made("sdxl").model, *ready_made("sdxl").aliases),
    )
)
