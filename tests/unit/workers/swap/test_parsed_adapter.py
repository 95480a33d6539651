"""An adapter's tensors lie in one block of memory, which goes to a device in one piece."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from workers.swap.changes import Difference, Hadamard, LowRank
from workers.swap.parsed_adapter import Changes, ParsedAdapter, pinned_block
from workers.swap.whole_changes import Normalised, Rotated

pytestmark = pytest.mark.torch


@pytest.fixture
def changes() -> Changes:
    numbers = torch.arange(100.0)
    product = LowRank(down=numbers[:6].view(2, 3), up=numbers[10:18].view(4, 2), scale=0.5)
    factors = numbers[:4].view(4, 1), numbers[4:7].view(1, 3)
    return {
        "unet.a.weight": (product, Difference(numbers[:12].view(4, 3).half())),
        "unet.b.weight": (LowRank(numbers[:9].view(3, 3).T.half(), numbers[:3].view(1, 3).half(), scale=2.0),),
        "unet.b.bias": (Difference(numbers[7:8]),),
        "unet.c.weight": (Normalised(Hadamard(*factors, *factors), numbers[20:24].bfloat16()),),
        "unet.d.weight": (Rotated(numbers[:8].view(1, 2, 2, 2), rescale=numbers[:4]), product),
    }


@pytest.fixture
def dtypes(changes: Changes) -> dict[str, torch.dtype]:
    return {name: several[0].tensors[0].dtype for name, several in changes.items()}


def same(left: Changes, right: Changes) -> bool:
    return left.keys() == right.keys() and all(
        type(one) is type(other) and one.scales == other.scales and equal(one.tensors, other.tensors)
        for name in left
        for one, other in zip(left[name], right[name], strict=True)
    )


def equal(left: Sequence[torch.Tensor], right: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(left, right, strict=True))


def tensors_of(changes: Changes) -> list[torch.Tensor]:
    return [tensor for several in changes.values() for change in several for tensor in change.tensors]


def test_packing_changes_no_number(changes: Changes, dtypes: dict[str, torch.dtype]) -> None:
    assert same(ParsedAdapter.packed(changes, dtypes).changes, changes)


HALVES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("stored", HALVES)
@pytest.mark.parametrize("wanted", HALVES)
def test_packing_converts_low_rank_products_to_the_dtype_of_the_weight(
    stored: torch.dtype, wanted: torch.dtype
) -> None:
    value = torch.linspace(-3, 3, 1000).to(stored)
    product = LowRank(down=value.view(10, 100), up=value.view(100, 10))

    packed = ParsedAdapter.packed({"unet.a.weight": (product,)}, {"unet.a.weight": wanted})

    (converted,) = packed.changes["unet.a.weight"]
    assert {tensor.dtype for tensor in converted.tensors} == {wanted}
    assert torch.equal(converted.tensors[0].flatten(), value.to(wanted))


@pytest.mark.parametrize("stored", [*HALVES, torch.float64, torch.float8_e4m3fn])
def test_packing_keeps_every_other_tensor_as_it_is_in_the_file(stored: torch.dtype) -> None:
    value = torch.linspace(-3, 3, 1000).to(stored)

    packed = ParsedAdapter.packed({"unet.a.weight": (Difference(value),)}, {"unet.a.weight": torch.bfloat16})

    (kept,) = packed.changes["unet.a.weight"][0].tensors
    assert kept.dtype == (stored if stored in HALVES else torch.float32)
    assert torch.equal(kept.float(), value.float())


def test_a_packed_adapter_keeps_nothing_of_what_it_was_read_from() -> None:
    source = torch.ones(4)
    packed = ParsedAdapter.packed({"unet.a.bias": (Difference(source),)}, {"unet.a.bias": source.dtype})

    source.zero_()

    assert packed.changes["unet.a.bias"][0].tensors[0].tolist() == [1.0] * 4


def test_a_copy_of_the_block_holds_the_same_changes(changes: Changes, dtypes: dict[str, torch.dtype]) -> None:
    packed = ParsedAdapter.packed(changes, dtypes)
    copied = packed.memory.clone()

    moved = packed.within(copied)

    assert same(moved, changes)
    ends = copied.data_ptr(), copied.data_ptr() + copied.nbytes
    assert all(ends[0] <= tensor.data_ptr() < ends[1] for tensor in tensors_of(moved))


def test_it_goes_to_a_device_as_a_whole(changes: Changes, dtypes: dict[str, torch.dtype]) -> None:
    moved = ParsedAdapter.packed(changes, dtypes).changes_on(torch.device("meta"))

    assert {tensor.device.type for tensor in tensors_of(moved)} == {"meta"}
    assert [tensor.shape for tensor in tensors_of(moved)] == [tensor.shape for tensor in tensors_of(changes)]


@pytest.mark.parametrize("spoiled", [math.nan, math.inf, 1e300])
def test_values_and_scales_that_are_not_finite_are_found(
    changes: Changes, dtypes: dict[str, torch.dtype], spoiled: float
) -> None:
    worse = Normalised(LowRank(torch.ones(1, 1), torch.ones(1, 1), spoiled), torch.ones(1))
    values = Difference(torch.tensor([spoiled]))

    assert ParsedAdapter.packed(changes, dtypes).not_finite() is None
    for change in (worse, values):
        packed = ParsedAdapter.packed({**changes, "unet.bad": (change,)}, {**dtypes, "unet.bad": torch.float32})
        assert packed.not_finite() == "unet.bad"


def test_a_value_may_be_finite_where_the_norm_of_its_tensor_is_not() -> None:
    large = Difference(torch.full((4,), 3e38))

    assert ParsedAdapter.packed({"unet.a": (large,)}, {"unet.a": torch.float32}).not_finite() is None


def test_the_norm_of_several_products_is_that_of_their_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    products = [
        LowRank(torch.randn(2, 5, generator=generator), torch.randn(4, 2, generator=generator), scale)
        for scale in (0.5, -2.0)
    ]
    whole = torch.stack([product.scale * product.up @ product.down for product in products]).sum(0)

    parsed = ParsedAdapter({"unet.a": tuple(products), "unet.b": (products[0], Difference(torch.ones(4, 5)))})

    assert parsed.product_norms == {"unet.a": pytest.approx(float(torch.linalg.vector_norm(whole)), rel=1e-5)}


def test_without_room_for_pinned_memory_it_is_kept_in_ordinary_memory(
    changes: Changes, dtypes: dict[str, torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = torch.empty

    def no_room(*size: int, dtype: torch.dtype, pin_memory: bool = False) -> torch.Tensor:
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory")
        return empty(*size, dtype=dtype)

    monkeypatch.setattr(torch, "empty", no_room)

    assert same(ParsedAdapter.packed(changes, dtypes, allocate=pinned_block).changes, changes)
