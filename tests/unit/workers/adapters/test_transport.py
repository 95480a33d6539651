"""What a process that has read a client's file may say to its worker."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable

import pytest
import torch

from tasks.errors import AdapterLoadFailed, StokeholdError
from workers.adapters.transport import Describer, ReadingFailure, describe, outcome_of, view_of
from workers.swap.changes import Difference, Hadamard, LowRank, Placed
from workers.swap.parsed_adapter import ParsedAdapter

pytestmark = pytest.mark.torch

NOTHING = torch.empty(0, dtype=torch.uint8)


def adapter() -> ParsedAdapter:
    numbers = torch.arange(64.0)
    factors = [numbers[start : start + 8].view(2, 4) for start in range(0, 32, 8)]
    hadamard = Hadamard(factors[0].T, factors[1], factors[2].T, factors[3], 0.5)
    changes = {
        "unet.a.weight": (LowRank(numbers[:6].view(2, 3), numbers[:8].view(4, 2), -0.5), Placed(hadamard, 0, 4)),
        "unet.a.bias": (Difference(numbers[:4]),),
    }
    return ParsedAdapter.packed(changes, dict.fromkeys(changes, torch.float16))


def test_a_parsed_adapter_arrives_as_views_of_one_block() -> None:
    sent = adapter()
    block = sent.memory.clone()

    arrived = outcome_of(describe(sent), block)

    assert isinstance(arrived, ParsedAdapter)
    assert arrived.memory is block
    assert arrived.unmatched == sent.unmatched
    for name, changes in sent.changes.items():
        for one, other in zip(changes, arrived.changes[name], strict=True):
            assert type(one) is type(other)
            assert one.scales == other.scales
            for first, second in zip(one.tensors, other.tensors, strict=True):
                assert torch.equal(first, second)
                assert first.dtype is second.dtype
                assert second.untyped_storage().data_ptr() == block.data_ptr()


@pytest.mark.parametrize("outcome", [AdapterLoadFailed("It is broken."), ReadingFailure.MEMORY])
def test_what_is_no_adapter_arrives_too(outcome: StokeholdError | ReadingFailure) -> None:
    arrived = outcome_of(describe(outcome), NOTHING)

    assert (type(arrived), str(arrived)) == (type(outcome), str(outcome))


class Command:
    """Runs a command when it is read, as any pickle may."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize("content", [Command(), ParsedAdapter, {"changes": ()}, io.BytesIO(), LowRank])
def test_nothing_else_does(content: object) -> None:
    file = io.BytesIO()
    Describer(file, NOTHING).dump(content)

    with pytest.raises(pickle.UnpicklingError):
        outcome_of(file.getvalue(), NOTHING)


@pytest.mark.parametrize("description", [b"", b"nothing", describe(adapter())[:-20]])
def test_a_broken_description_is_not_understood(description: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        outcome_of(description, NOTHING)


@pytest.mark.parametrize(
    ("start", "shape", "strides"),
    [(0, (17,), (1,)), (64, (1,), (1,)), (-4, (1,), (1,)), (2, (1,), (1,)), (0, (4, 4), (5, 1)), (8, (2,), (-1,))],
)
def test_a_view_lies_within_its_block(start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    with pytest.raises(pickle.UnpicklingError):
        view_of(torch.zeros(64, dtype=torch.uint8), torch.float32, start, shape, strides)
