"""Layers of an adapter's file, and the rows of the base model that they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """A layer that is looked for.

    Attributes:
        name: as the file has it.
        outputs: how many rows its change has; None if its tensors do not say.
    """

    name: str
    outputs: int | None


@dataclass(frozen=True)
class Piece:
    """Rows of a layer of the file that are rows of a module.

    Attributes:
        module: its name, with the component in front.
        start: the first row of the layer.
        stop: the row after the last one.
        row: the first row of the module.
        is_fused: the module is several layers in the file, of which this is one.
    """

    module: str
    start: int
    stop: int
    row: int = 0
    is_fused: bool = False

    @property
    def length(self) -> int:
        """How many rows these are."""
        return self.stop - self.start
