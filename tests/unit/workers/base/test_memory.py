"""A failed allocation is named, and what it held is let go."""

from __future__ import annotations

import weakref

import pytest
import torch

from tasks.errors import OutOfMemory
from workers.base.device import memory_errors

pytestmark = pytest.mark.torch


def fill_up(seen: list[weakref.ref[torch.Tensor]]) -> None:
    """Get some memory, then ask for more than there is."""
    some = torch.zeros(8)
    seen.append(weakref.ref(some))
    torch.empty(1 << 50)


def test_tensors_of_the_failed_job_are_let_go_while_its_error_is_still_on_its_way() -> None:
    seen: list[weakref.ref[torch.Tensor]] = []

    with pytest.raises(OutOfMemory, match="smaller width and height"), memory_errors():
        fill_up(seen)

    assert seen[0]() is None


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), MemoryError()])
def test_every_device_has_its_own_words_for_it(error: Exception) -> None:
    with pytest.raises(OutOfMemory), memory_errors():
        raise error


def test_another_error_goes_through() -> None:
    with pytest.raises(RuntimeError, match="no kernel"), memory_errors():
        raise RuntimeError("no kernel")
