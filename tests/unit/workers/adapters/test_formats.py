"""Adapters of every format for every family, merged, and held against a second reading of the same file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from tests.oracle.families import FAMILIES
from tests.oracle.formats import FORMATS, Made
from tests.oracle.judge import Verdict
from tests.oracle.loaders import Project

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

EVERYWHERE = tuple(FAMILIES)
EXACT = {
    "LoRA, diffusers": EVERYWHERE,
    "LoRA, diffusers, alphas in metadata": EVERYWHERE,
    "rsLoRA, diffusers": EVERYWHERE,
    "LoRA with biases, peft": EVERYWHERE,
    "LoRA, DiffSynth-Studio": ("Qwen-Image", "Z-Image"),
    "LoRA, kohya": ("FLUX.2", "Qwen-Image", "Z-Image"),
    "LoRA, kohya, some layers without alpha": ("FLUX.2", "Qwen-Image", "Z-Image"),
    "LoRA, ComfyUI": ("FLUX.2", "Qwen-Image"),
    "LoRA, ComfyUI names, alpha tensors": ("FLUX.1", "Qwen-Image"),
}
"""By format: families for which every weight is what the file says."""


@cache
def project(family: str) -> Project:
    """One pipeline for all tests of a family: each takes out what it merged."""
    return Project(FAMILIES[family].build())


@pytest.mark.parametrize(
    ("name", "family"), [(name, family) for name, families in EXACT.items() for family in families]
)
def test_every_weight_is_what_the_file_says(name: str, family: str, tmp_path: Path) -> None:
    made = FORMATS[name].make(FAMILIES[family], project(family).pipeline)

    outcome = project(family).judge(made.write(tmp_path / "adapter.safetensors"), made.layers, strength=0.8)

    assert outcome.verdict is Verdict.EXACT, outcome.why


def with_alphas(made: Made, alphas: list[float | None]) -> Made:
    """Other alphas; a layer without any gets full strength."""
    tensors = {key: value for key, value in made.tensors.items() if not key.endswith(".alpha")}
    for layer, alpha in zip(made.layers, alphas, strict=False):
        if alpha is not None:
            tensors[f"{layer}.alpha"] = np.array(alpha)
    return Made(tensors, made.layers, made.ranks, made.metadata)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    alphas=st.lists(st.none() | st.floats(0.125, 64, width=16), min_size=9, max_size=9),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    strength=st.floats(-2, 2, width=16),
    seed=st.integers(0, 99),
)
def test_alphas_dtypes_and_strengths(
    alphas: list[float | None], dtype: torch.dtype, strength: float, seed: int, tmp_path: Path
) -> None:
    family = "Qwen-Image"
    made = with_alphas(FORMATS["LoRA, kohya"].make(FAMILIES[family], project(family).pipeline, seed), alphas)

    outcome = project(family).judge(made.write(tmp_path / "adapter.safetensors", dtype), made.layers, strength)

    assert outcome.verdict is Verdict.EXACT, outcome.why
