"""Adapters of every format for every family, merged, and held against a second reading of the same file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from benchmarks.fuzz_adapters import fuzz
from tests.oracle.families import FAMILIES
from tests.oracle.formats import ALPHA_NAMES, FORMATS, Made
from tests.oracle.judge import Outcome, Verdict
from tests.oracle.loaders import Project

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

PAGE = Path(__file__).parents[4] / "docs" / "formats.md"
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
ALPHAS = st.none() | st.sampled_from([0.0, 1.0, -2.0]) | st.floats(0.125, 64, width=16)
"""None, zero (which means the rank), negative ones, and others."""
examples = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def documented() -> Mapping[tuple[str, str], str]:
    """What docs/formats.md says of this project, by format and family."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = {
        (row[0], family): cell
        for row in rows
        if row[0] in FORMATS
        for family, cell in zip(FAMILIES, row[1:], strict=True)
    }
    return {pair: cell.partition(" / ")[0] for pair, cell in cells.items() if cell != "-"}


@cache
def project(family: str) -> Project:
    """One pipeline for all tests of a family: each takes out what it merged."""
    return Project(FAMILIES[family].build())


def outcome_of(
    made: Made, family: str, folder: Path, dtype: torch.dtype = torch.float32, strength: float = 1
) -> Outcome:
    return project(family).judge(made.write(folder / "adapter.safetensors", dtype), made.layers, strength)


def test_the_page_has_every_format_and_family() -> None:
    suited = {(name, family) for name in FORMATS for family in FAMILIES if FORMATS[name].suits(FAMILIES[family])}

    assert documented().keys() == suited
    assert set(documented().values()) == {Verdict.EXACT, Verdict.REFUSED}


@pytest.mark.parametrize(("name", "family"), documented())
def test_every_weight_is_what_the_file_says_or_the_file_is_refused(name: str, family: str, tmp_path: Path) -> None:
    made = FORMATS[name].make(FAMILIES[family], project(family).pipeline)

    outcome = outcome_of(made, family, tmp_path, strength=0.8)

    assert outcome.verdict == documented()[name, family], outcome.why


def with_alphas(made: Made, alphas: list[float | None], dtype: str, shape: tuple[int, ...]) -> Made:
    """Other alphas, in tensors of any dtype and shape; a layer without any gets full strength."""
    tensors = {key: value for key, value in made.tensors.items() if not key.endswith(".alpha")}
    for layer, alpha in zip(made.layers, alphas, strict=False):
        if alpha is not None:
            tensors[f"{layer}.alpha"] = np.full(shape, alpha).astype(dtype)
    return replace(made, tensors=tensors)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("LoRA, kohya", "SDXL"),
        ("LoRA, ComfyUI names, alpha tensors", "FLUX.1"),
        ("LoHa, LyCORIS", "Qwen-Image"),
        ("LoKr, LyCORIS", "Z-Image"),
        ("DoRA of outputs, kohya names", "FLUX.2"),
    ],
)
@examples
@given(
    alphas=st.lists(ALPHAS, min_size=15, max_size=15),
    alpha_dtype=st.sampled_from(["f8", "f4", "f2", "i8"]),
    shape=st.sampled_from([(), (1,), (1, 1)]),
    dtype=st.sampled_from(DTYPES),
    strength=st.floats(-2, 2, width=16),
    seed=st.integers(0, 99),
)
def test_alphas_of_any_value_dtype_and_shape(  # noqa: PLR0917 - what hypothesis draws, and pytest's
    name: str,
    family: str,
    alphas: list[float | None],
    alpha_dtype: str,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    strength: float,
    seed: int,
    tmp_path: Path,
) -> None:
    made = FORMATS[name].make(FAMILIES[family], project(family).pipeline, seed)

    outcome = outcome_of(with_alphas(made, alphas, alpha_dtype, shape), family, tmp_path, dtype, strength)

    assert outcome.verdict is Verdict.EXACT, outcome.why


@examples
@given(
    name=st.sampled_from(ALPHA_NAMES),
    alpha=st.sampled_from(["8", "0.5", "-1", "0", "None", "16.0"]),
    form=st.sampled_from(["LoRA, diffusers", "LoRA, kohya, some layers without alpha", "LoHa, LyCORIS"]),
    dtype=st.sampled_from(DTYPES),
)
def test_an_alpha_in_the_metadata_counts_for_the_layers_that_have_none(
    name: str, alpha: str, form: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    made = replace(FORMATS[form].make(FAMILIES["SD 1.5"], project("SD 1.5").pipeline), metadata={name: alpha})

    outcome = outcome_of(made, "SD 1.5", tmp_path, dtype)

    assert outcome.verdict is Verdict.EXACT, outcome.why


def test_random_files_are_merged_as_they_say_or_refused(tmp_path: Path) -> None:
    assert fuzz(80, seed=0, folder=tmp_path)["findings"] == []
