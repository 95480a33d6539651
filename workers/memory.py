"""When the device, or this machine, has no memory left for a job."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tasks.errors import OutOfMemory

NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""In the texts of the plain ``RuntimeError`` with which torch says that this machine's own memory does not suffice, and
of those that its libraries on a device raise."""


@contextmanager
def memory_errors() -> Iterator[None]:
    """Translate a failed allocation.

    The frames of the failure hold the tensors for which there was room; they are let go at once, so that the next job,
    which may begin before this one is settled, finds it free.

    Raises:
        OutOfMemory: an allocation failed.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        raise OutOfMemory(
            "The device ran out of memory. Ask for a smaller width and height, or for fewer adapters."
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is a failed allocation, on whichever device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in NO_MEMORY)
