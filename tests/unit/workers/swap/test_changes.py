"""Every kind of change against its formula, written out anew in NumPy and float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from workers.swap.changes import Change, Difference, Hadamard, Kronecker, LowRank, Placed, Scaled
from workers.swap.whole_changes import Normalised, Rotated, cayley

pytestmark = pytest.mark.torch

Array = np.typing.NDArray[Any]
Formula = Callable[[Array], Array]
RNG = np.random.default_rng(0)
LINEAR, CONVOLUTION = (8, 6), (8, 6, 3, 3)


def random(*shape: int) -> Array:
    return RNG.standard_normal(shape)


def tensor(numbers: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).float()


def low_rank(shape: tuple[int, ...]) -> tuple[Change, Formula]:
    up, down = random(shape[0], 3), random(3, int(np.prod(shape[1:])))
    return LowRank(tensor(down), tensor(up), 0.75), lambda _: 0.75 * (up @ down).reshape(shape)


def hadamard(shape: tuple[int, ...]) -> tuple[Change, Formula]:
    inputs = int(np.prod(shape[1:]))
    factors = [random(shape[0], 2), random(2, inputs), random(shape[0], 3), random(3, inputs)]
    product = (factors[0] @ factors[1]) * (factors[2] @ factors[3])
    first, second, third, fourth = map(tensor, factors)
    return Hadamard(first, second, third, fourth, -0.5), lambda _: -0.5 * product.reshape(shape)


def kronecker(shape: tuple[int, ...]) -> tuple[Change, Formula]:
    left, right = random(2, 3), random(4, 2, *shape[2:])
    expanded = left.reshape(2, 3, *(1,) * (right.ndim - 2))
    return Kronecker(tensor(left), tensor(right), 2.0), lambda _: 2.0 * np.kron(expanded, right)


def difference(shape: tuple[int, ...]) -> tuple[Change, Formula]:
    value = random(*shape)
    return Difference(tensor(value), 0.25), lambda _: 0.25 * value


def scaled_outputs(shape: tuple[int, ...]) -> tuple[Change, Formula]:
    factors = random(shape[0])
    spread = factors.reshape(-1, *(1,) * (len(shape) - 1))
    return Scaled(tensor(factors), on_input=False), lambda pristine: pristine * spread


def scaled_inputs(shape: tuple[int, ...]) -> tuple[Change, Formula]:
    factors = random(shape[1])
    spread = factors.reshape(1, -1, *(1,) * (len(shape) - 2))
    return Scaled(tensor(factors), on_input=True), lambda pristine: pristine * spread


def normalised(inner: tuple[Change, Formula], shape: tuple[int, ...], axis: int) -> tuple[Change, Formula]:
    change, formula = inner
    magnitude = random(shape[axis])

    def whole(pristine: Array) -> Array:
        moved = np.moveaxis(pristine + formula(pristine), axis, 0)
        rows = moved.reshape(shape[axis], -1)
        rows = magnitude[:, None] * rows / np.sqrt((rows**2).sum(1, keepdims=True))
        result: Array = np.moveaxis(rows.reshape(moved.shape), 0, axis) - pristine
        return result

    return Normalised(change, tensor(magnitude), on_input=axis == 1), whole


def block_diagonal(blocks: Array) -> Array:
    count, size, _ = blocks.shape
    whole = np.zeros((count * size, count * size))
    for number, block in enumerate(blocks):
        whole[number * size : (number + 1) * size, number * size : (number + 1) * size] = block
    return whole


def rotations(*shape: int) -> Array:
    blocks = random(*shape)
    skew = blocks - np.swapaxes(blocks, -1, -2)
    result: Array = (np.eye(shape[-1]) + skew) @ np.linalg.inv(np.eye(shape[-1]) - skew)
    return result


def rotated_outputs(shape: tuple[int, ...]) -> tuple[Change, Formula]:
    blocks, rescale = rotations(2, 4, 4), random(8)
    matrix = np.diag(rescale) @ block_diagonal(blocks)
    change = Rotated(tensor(blocks[None]), tensor(rescale.reshape(-1, 1)))
    return change, lambda pristine: np.tensordot(matrix, pristine, 1) - pristine


def rotated_inputs(shape: tuple[int, ...]) -> tuple[Change, Formula]:
    inputs = int(np.prod(shape[1:]))
    blocks = rotations(inputs // 3, 3, 3)
    matrix = block_diagonal(blocks)

    def turned(pristine: Array) -> Array:
        return (pristine.reshape(8, -1) @ matrix.T).reshape(shape) - pristine

    return Rotated(tensor(blocks[None]), on_input=True), turned


def rotated_in_stages(shape: tuple[int, ...]) -> tuple[Change, Formula]:
    """BOFT by the permutation of each stage, written as a list of rows."""
    blocks = rotations(2, 2, 4, 4)
    matrix = np.eye(8)
    for stage in range(2):
        width = 2**stage * 2
        order = [c * 2 * width + g * width + k for c in range(8 // (2 * width)) for k in range(width) for g in range(2)]
        permutation = np.eye(8)[order]
        matrix = permutation.T @ block_diagonal(blocks[stage]) @ permutation @ matrix
    return Rotated(tensor(blocks), butterfly=True), lambda pristine: np.tensordot(matrix, pristine, 1) - pristine


def placed(shape: tuple[int, ...]) -> tuple[Change, Formula]:
    change, formula = normalised(low_rank((3, *shape[1:])), (3, *shape[1:]), 0)

    def whole(pristine: Array) -> Array:
        result = np.zeros(shape)
        result[2:5] = formula(pristine[2:5])
        return result

    return Placed(change, 2, 5), whole


KINDS: dict[str, Callable[[tuple[int, ...]], tuple[Change, Formula]]] = {
    "LoRA": low_rank,
    "LoHa": hadamard,
    "LoKr": kronecker,
    "difference": difference,
    "(IA)3 on outputs": scaled_outputs,
    "(IA)3 on inputs": scaled_inputs,
    "DoRA on outputs": lambda shape: normalised(low_rank(shape), shape, 0),
    "DoRA on inputs": lambda shape: normalised(low_rank(shape), shape, 1),
    "DoRA of LoHa": lambda shape: normalised(hadamard(shape), shape, 0),
    "DoRA of LoKr": lambda shape: normalised(kronecker(shape), shape, 0),
    "OFT on outputs": rotated_outputs,
    "OFT on inputs": rotated_inputs,
    "BOFT": rotated_in_stages,
    "placed": placed,
}
NOT_BY_ROWS = {"DoRA on inputs", "BOFT"}


@pytest.fixture(params=[LINEAR, CONVOLUTION], ids=["linear", "convolution"])
def shape(request: pytest.FixtureRequest) -> tuple[int, ...]:
    parameter: tuple[int, ...] = request.param
    return parameter


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_change_is_what_the_formula_says(kind: str, shape: tuple[int, ...]) -> None:
    change, formula = KINDS[kind](shape)
    pristine = random(*shape)

    delta = change.delta(tensor(pristine))

    assert delta.shape == shape
    assert np.allclose(delta.double().numpy(), formula(pristine), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_some_rows_is_these_rows_of_the_whole(kind: str, shape: tuple[int, ...]) -> None:
    change, formula = KINDS[kind](shape)
    pristine = random(*shape)

    for start, stop in ((0, 4), (4, 8)):
        rows = change.rows(start, stop)
        assert (rows is None) == (kind in NOT_BY_ROWS)
        if rows is not None:
            delta = rows.delta(tensor(pristine[start:stop]))
            assert np.allclose(delta.double().numpy(), formula(pristine)[start:stop], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["LoRA", "LoHa", "LoKr", "difference", "DoRA of LoKr", "placed"])
def test_rows_may_be_cut_anywhere_and_again(kind: str) -> None:
    change, formula = KINDS[kind](LINEAR)
    pristine = random(*LINEAR)

    some = change.rows(1, 8)
    fewer = some and some.rows(2, 6)

    assert fewer is not None
    delta = fewer.delta(tensor(pristine[3:7]))
    assert np.allclose(delta.double().numpy(), formula(pristine)[3:7], rtol=1e-4, atol=1e-4)


def test_rotations_are_not_cut_within_a_block() -> None:
    change, _ = rotated_outputs(LINEAR)

    assert change.rows(0, 3) is None


@pytest.mark.parametrize("kind", KINDS)
def test_moving_the_tensors_changes_nothing_else(kind: str) -> None:
    change, _ = KINDS[kind](LINEAR)
    pristine = tensor(random(*LINEAR))

    moved = change.map_tensors(torch.clone)

    assert type(moved) is type(change)
    assert moved.scales == change.scales
    assert [one.data_ptr() for one in moved.tensors] != [one.data_ptr() for one in change.tensors]
    assert torch.equal(moved.delta(pristine), change.delta(pristine))


@pytest.mark.parametrize("kind", KINDS)
def test_the_pristine_weight_is_left_alone(kind: str, shape: tuple[int, ...]) -> None:
    change, _ = KINDS[kind](shape)
    pristine = tensor(random(*shape))
    before = pristine.clone()

    change.delta(pristine)

    assert torch.equal(pristine, before)


def test_a_row_of_zeros_is_not_divided_by_its_norm() -> None:
    nothing = LowRank(torch.zeros(1, 3), torch.zeros(2, 1))

    assert torch.equal(Normalised(nothing, torch.ones(2)).delta(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_rotations_are_orthogonal() -> None:
    blocks = tensor(random(5, 4, 4))

    turned = cayley(blocks - blocks.mT)

    assert torch.allclose(turned @ turned.mT, torch.eye(4).expand(5, 4, 4), atol=1e-5)
    assert np.allclose(cayley(torch.tensor([[0.0, 1.0], [-1.0, 0.0]])).numpy(), [[0, 1], [-1, 0]], atol=1e-6)
