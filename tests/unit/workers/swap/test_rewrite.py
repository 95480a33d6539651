"""Weights are computed in blocks of rows, and come out as if they were computed at once."""

from __future__ import annotations

import pytest
import torch

import workers.swap.blocks
from tests.support.changes import KINDS, random_adapter
from workers.swap.blocks import row_blocks
from workers.swap.rewrite import Addition, rewrite

pytestmark = pytest.mark.torch

SHAPES = [(208, 32), (208, 32, 3, 3)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.swap.blocks, "BLOCK_ELEMENTS", 64)


@pytest.mark.parametrize("shape", SHAPES, ids=["linear", "convolution"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_what_the_changes_say_and_rounded_once(
    kind: str, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    pristine = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    adapters = [random_adapter(kind, {"unet.a": pristine}, scale, seed=seed) for seed, scale in enumerate((0.7, -2.0))]
    additions = [Addition(one.sha256, one.parsed.changes["unet.a"], one.scale) for one in adapters]
    deltas = [addition.delta(pristine.double()) for addition in additions]
    exact = pristine.double() + torch.stack([0.7 * deltas[0], -2.0 * deltas[1]]).sum(0)
    weight = torch.full_like(pristine, float("nan"))

    (norms,) = rewrite([(weight, pristine, additions)], None)

    assert len(row_blocks(weight)) > 2
    assert torch.allclose(weight.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-5)
    if norms is not None:
        assert [float(norm) for norm in norms] == pytest.approx([float(delta.norm()) for delta in deltas], rel=1e-4)
