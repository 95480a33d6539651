"""Base models for tests that need names and limits, and no weights."""

from __future__ import annotations

from tasks.base_models.registry import BaseModels, Defaults, Limits, ServedModel


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
        served_model(
            "sdxl", "stabilityai/stable-diffusion-xl-base-1.0", "sd_xl_base_1.0", "stable-diffusion-xl-v1-base"
        ),
    )
)
