"""A file with orders for the pipeline of a worker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Order(StrEnum):
    """A way to behave."""

    WORK = "work"
    HANG = "hang"
    """The next drawing never returns."""
    BREAK = "break"
    """Every drawing raises what torch raises when the device is lost."""


@dataclass(frozen=True)
class Orders:
    """The file, and beside it the mark that a drawing hangs."""

    file: Path

    def give(self, order: Order) -> None:
        """Give an order, which holds from the next drawing on."""
        self._mark.unlink(missing_ok=True)
        self.file.write_text(order, "utf-8")

    def given(self) -> Order:
        """The present order."""
        return Order(self.file.read_text("utf-8") or Order.WORK) if self.file.exists() else Order.WORK

    def note_hanging(self) -> None:
        """Mark that a drawing hangs."""
        self._mark.touch()

    @property
    def is_hanging(self) -> bool:
        """Return whether a drawing hangs."""
        return self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self.file.with_suffix(".hanging")
