"""An adapter's tensors lie in one block of memory, which goes to a device in one piece."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from workers.swap.low_rank import BiasDelta, Change, LowRank, ParsedAdapter

pytestmark = pytest.mark.torch


@pytest.fixture
def changes() -> dict[str, Change]:
    numbers = torch.arange(100.0)
    return {
        "unet.a.weight": LowRank(down=numbers[:6].view(2, 3), up=numbers[10:18].view(4, 2), scale=0.5),
        "unet.b.weight": LowRank(down=numbers[:9].view(3, 3).T.half(), up=numbers[:3].view(1, 3).half(), scale=2.0),
        "unet.b.bias": BiasDelta(numbers[7:8], scale=1.0),
    }


@pytest.fixture
def dtypes(changes: dict[str, Change]) -> dict[str, torch.dtype]:
    return {name: change.tensors[0].dtype for name, change in changes.items()}


def same(left: Mapping[str, Change], right: Mapping[str, Change]) -> bool:
    return left.keys() == right.keys() and all(
        left[name].scale == right[name].scale
        and all(torch.equal(*pair) for pair in zip(left[name].tensors, right[name].tensors, strict=True))
        for name in left
    )


def test_packing_changes_no_number(changes: dict[str, Change], dtypes: dict[str, torch.dtype]) -> None:
    assert same(ParsedAdapter.packed(changes, dtypes).changes, changes)


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wanted", [torch.float32, torch.float16, torch.bfloat16])
def test_packing_converts_to_the_dtype_of_the_weight(stored: torch.dtype, wanted: torch.dtype) -> None:
    value = torch.linspace(-3, 3, 1000).to(stored)

    packed = ParsedAdapter.packed({"unet.a.bias": BiasDelta(value, scale=1.0)}, {"unet.a.bias": wanted})

    (converted,) = packed.changes["unet.a.bias"].tensors
    assert converted.dtype == wanted
    assert torch.equal(converted, value.to(wanted))


def test_a_packed_adapter_keeps_nothing_of_what_it_was_read_from() -> None:
    source = torch.ones(4)
    packed = ParsedAdapter.packed({"unet.a.bias": BiasDelta(source, scale=1.0)}, {"unet.a.bias": source.dtype})

    source.zero_()

    assert packed.changes["unet.a.bias"].tensors[0].tolist() == [1.0] * 4


def test_a_copy_of_the_block_holds_the_same_changes(changes: dict[str, Change], dtypes: dict[str, torch.dtype]) -> None:
    packed = ParsedAdapter.packed(changes, dtypes)
    copied = packed.memory.clone()

    moved = packed.within(copied)

    assert same(moved, changes)
    ends = copied.data_ptr(), copied.data_ptr() + copied.nbytes
    assert all(ends[0] <= tensor.data_ptr() < ends[1] for change in moved.values() for tensor in change.tensors)


def test_it_goes_to_a_device_as_a_whole(changes: dict[str, Change], dtypes: dict[str, torch.dtype]) -> None:
    moved = ParsedAdapter.packed(changes, dtypes).changes_on(torch.device("meta"))

    assert {tensor.device.type for change in moved.values() for tensor in change.tensors} == {"meta"}
    assert [change.tensors[0].shape for change in moved.values()] == [
        change.tensors[0].shape for change in changes.values()
    ]


def test_without_room_for_pinned_memory_it_is_kept_in_ordinary_memory(
    changes: dict[str, Change], dtypes: dict[str, torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = torch.empty

    def no_room(*size: int, dtype: torch.dtype, pin_memory: bool = False) -> torch.Tensor:
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory")
        return empty(*size, dtype=dtype)

    monkeypatch.setattr(torch, "empty", no_room)

    assert same(ParsedAdapter.packed(changes, dtypes, pinned=True).changes, changes)
