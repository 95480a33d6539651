"""The compiled inner loop of a swap: as exact as one rounding can be, on any CPU, and done without if need be."""

from __future__ import annotations

import logging

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

import workers.swap.kernel
from workers.swap.changes import LowRank
from workers.swap.kernel import THIS_CPU, Merge, MergeKernel, compile_kernel, load_kernel

pytestmark = pytest.mark.torch

Products = list[tuple[LowRank, float]]


@pytest.fixture(scope="module", params=[(THIS_CPU,), ()], ids=["this CPU", "any CPU"])
def kernel(request: pytest.FixtureRequest) -> MergeKernel:
    return compile_kernel(*request.param)


def products_of(rows: int, columns: int, ranks: list[int], seed: int = 0) -> Products:
    generator = torch.Generator().manual_seed(seed)

    def factor(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).mul_(0.3).bfloat16()

    return [
        (LowRank(down=factor(rank, columns), up=factor(rows, rank), scale=0.5 + number), 0.7 - number)
        for number, rank in enumerate(ranks)
    ]


def random_weight(rows: int, columns: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1)).bfloat16()


def truth(pristine: torch.Tensor, products: Products) -> torch.Tensor:
    """In float64."""
    result = pristine.double()
    for product, scale in products:
        result += scale * product.scale * (product.up.double() @ product.down.double())
    return result


def assert_rounded_once(weight: torch.Tensor, exact: torch.Tensor) -> None:
    """No further from the exact value than half a step of bfloat16, which has 8 bits, and float32's own error."""
    assert torch.all((weight.double() - exact).abs() <= exact.abs() * 2**-8 + 1e-5)


@pytest.mark.parametrize("options", [(THIS_CPU,), ()], ids=["this CPU", "any CPU"])
def test_it_compiles_without_a_warning(options: tuple[str, ...]) -> None:
    assert compile_kernel(*options, "-Wall", "-Wextra", "-Werror", "-Wno-psabi")


@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(1, 12).map(lambda number: 8 * number),
    columns=st.integers(1, 40).map(lambda number: 32 * number),
    ranks=st.lists(st.integers(1, 20).map(lambda number: 2 * number), min_size=1, max_size=3),
)
def test_a_weight_is_its_pristine_value_plus_the_products(
    kernel: MergeKernel, rows: int, columns: int, ranks: list[int]
) -> None:
    pristine, products = random_weight(rows, columns), products_of(rows, columns, ranks)
    weight = torch.full_like(pristine, float("nan"))

    kernel.run([Merge(weight, pristine, products)])

    assert_rounded_once(weight, truth(pristine, products))


def test_each_of_many_weights_gets_its_own_products(kernel: MergeKernel) -> None:
    shapes = [(8 * number, 32 * number) for number in range(1, 30)]
    merges = [
        Merge(torch.empty(shape, dtype=torch.bfloat16), random_weight(*shape), products_of(*shape, [4, 8], seed))
        for seed, shape in enumerate(shapes)
    ]

    kernel.run(merges)

    for merge in merges:
        assert_rounded_once(merge.weight, truth(merge.pristine, list(merge.products)))


def test_a_weight_that_begins_amid_a_line_of_the_cache_is_merged_alike(kernel: MergeKernel) -> None:
    pristine, products = random_weight(16, 64), products_of(16, 64, [4])
    memory = torch.zeros(16 * 64 + 6, dtype=torch.bfloat16)
    weight, aligned = memory[3:-3].view(16, 64), torch.empty_like(pristine)

    kernel.run([Merge(weight, pristine, products), Merge(aligned, pristine, products)])

    assert torch.equal(weight, aligned)
    assert memory[:3].tolist() == memory[-3:].tolist() == [0.0] * 3


def test_products_of_nothing_leave_every_bit_of_every_number(kernel: MergeKernel) -> None:
    numbers = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).view(256, 256)
    normal = numbers.isfinite() & (numbers.abs() >= torch.finfo(torch.bfloat16).tiny)
    pristine = torch.where(normal, numbers, torch.zeros_like(numbers))
    nothing = LowRank(down=torch.zeros(2, 256).bfloat16(), up=torch.zeros(256, 2).bfloat16(), scale=1.0)
    weight = torch.empty_like(pristine)

    kernel.run([Merge(weight, pristine, [(nothing, 1.0)])])

    assert torch.equal(weight, pristine)


@pytest.mark.parametrize(
    ("rows", "columns", "rank", "dtype"),
    [
        (12, 64, 4, torch.bfloat16),
        (16, 36, 4, torch.bfloat16),
        (16, 64, 3, torch.bfloat16),
        (16, 64, 4, torch.float32),
    ],
)
def test_what_is_not_of_whole_tiles_does_not_fit(rows: int, columns: int, rank: int, dtype: torch.dtype) -> None:
    weight = torch.empty(rows, columns, dtype=dtype)
    fits = torch.empty(16, 64, dtype=torch.bfloat16)

    assert not Merge(weight, weight, products_of(rows, columns, [rank])).fits_kernel
    assert Merge(fits, fits, products_of(16, 64, [4])).fits_kernel


def test_without_a_compiler_there_is_no_kernel_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers.swap.kernel, "COMPILER", "no-such-compiler")

    with caplog.at_level(logging.WARNING):
        assert load_kernel.__wrapped__() is None

    assert "C compiler" in caplog.text


def test_what_a_compiler_says_is_in_the_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(workers.swap.kernel, "THIS_CPU", "-march=none-such")

    with caplog.at_level(logging.WARNING):
        assert load_kernel.__wrapped__() is None

    assert "none-such" in caplog.text
