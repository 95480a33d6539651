"""A parsed adapter on its way from one process to another: a block of memory, and a description of the views of it.

The process that describes has read a file of a client, and may be in its author's hands. So the description may name
nothing but dataclasses of ``workers.swap`` and errors of ours, and views that lie within the block.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
from dataclasses import dataclass, is_dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any

import torch

from tasks.errors import StokeholdError
from workers.swap.parsed_adapter import ParsedAdapter

BLOCK = "block"


class ReadingFailure(StrEnum):
    """The reason why a file was not read to its end; of a sentence that begins with it, the rest."""

    HUNG = "did not end in time"
    CRASHED = "ended the process that read it"
    MEMORY = "took more memory than a file of its size may take"
    STUCK = "made no progress"
    KILLED = "was ended from outside"

    @property
    def is_of_file(self) -> bool:
        """Return whether the file itself is why, so that it would fail again."""
        return self in (ReadingFailure.HUNG, ReadingFailure.CRASHED, ReadingFailure.MEMORY)

    def sentence(self, ref: str) -> str:
        """Return what the client of a job reads of it."""
        advice = "Export it again, or use another adapter." if self.is_of_file else "Submit the job again later."
        return f"Reading the file of adapter {ref!r} {self}. {advice}"


Outcome = ParsedAdapter | StokeholdError | ReadingFailure


@dataclass(frozen=True)
class SharedBlock:
    """Memory of a file without a name, which another process has open, too."""

    file: int

    def allocate(self, size: int) -> torch.Tensor:
        """Make it this large.

        Raises:
            OSError: there is no room.
        """
        os.ftruncate(self.file, size)
        if not size:
            return torch.empty(0, dtype=torch.uint8)
        return torch.frombuffer(mmap.mmap(self.file, size), dtype=torch.uint8)


class Describer(pickle.Pickler):
    """Writes an outcome with views of one block in the place of tensors.

    Args:
        block: the memory of which every tensor is a view.
    """

    def __init__(self, file: io.BytesIO, block: torch.Tensor) -> None:
        super().__init__(file, protocol=5)
        self._block = block

    def persistent_id(self, value: Any) -> tuple[Any, ...] | None:
        """Return what stands for a tensor, or a dtype."""
        if value is self._block:
            return (BLOCK,)
        if isinstance(value, torch.dtype):
            return (str(value).removeprefix("torch."),)
        if isinstance(value, torch.Tensor):
            start = value.data_ptr() - self._block.data_ptr()
            return str(value.dtype).removeprefix("torch."), start, tuple(value.shape), value.stride()
        return None


class OutcomeReader(pickle.Unpickler):
    """Reads what a ``Describer`` wrote, with views of another block of the same content."""

    def __init__(self, file: io.BytesIO, block: torch.Tensor) -> None:
        super().__init__(file)
        self._block = block

    def persistent_load(self, pid: Any) -> Any:
        """Return the tensor, or the dtype.

        Raises:
            UnpicklingError: it is no view of the block.
        """
        name, *place = pid
        if name == BLOCK:
            return self._block
        dtype = getattr(torch, name)
        if not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"{name} is not a dtype")
        return view_of(self._block, dtype, *place) if place else dtype

    def find_class(self, module: str, name: str) -> Any:
        """Return a class that may be named.

        Raises:
            UnpicklingError: it may not.
        """
        if (module, name) == ("torch", "Size"):
            return torch.Size
        if module == __name__ and name == ReadingFailure.__name__:
            return ReadingFailure
        if module.startswith(("workers.swap.", "tasks.errors")) and "." not in name:
            found = getattr(import_module(module), name, None)
            if isinstance(found, type) and (is_dataclass(found) or issubclass(found, StokeholdError)):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} may not be named")


def view_of(
    block: torch.Tensor, dtype: torch.dtype, start: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> torch.Tensor:
    """Part of the block as a tensor.

    Raises:
        UnpicklingError: it does not lie within the block.
    """
    length = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    stop = start + (0 if 0 in shape else length * dtype.itemsize)
    if not 0 <= start <= stop <= block.nbytes or min(strides, default=0) < 0 or start % dtype.itemsize:
        raise pickle.UnpicklingError("a tensor lies outside of the block")
    return block[start:stop].view(dtype).as_strided(shape, strides)


def describe(outcome: Outcome) -> bytes:
    """Return the description of an outcome. A parsed adapter's tensors must be views of its memory."""
    file = io.BytesIO()
    block = outcome.memory if isinstance(outcome, ParsedAdapter) else torch.empty(0, dtype=torch.uint8)
    Describer(file, block).dump(outcome)
    return file.getvalue()


def outcome_of(description: bytes, block: torch.Tensor) -> Outcome:
    """Return what was described.

    Raises:
        UnpicklingError: it is not what ``describe`` writes.
    """
    try:
        outcome = OutcomeReader(io.BytesIO(description), block).load()
    except Exception as error:  # whatever the bytes make of it
        raise pickle.UnpicklingError(str(error)) from error
    if not isinstance(outcome, ParsedAdapter | StokeholdError | ReadingFailure):
        raise pickle.UnpicklingError(f"a {type(outcome).__name__} is no outcome")
    return outcome
