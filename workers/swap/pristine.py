"""The base model's weights as they were loaded, and a fingerprint to prove them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

COLUMNS = 1024


ROW_BYTES = COLUMNS * 8
"""Eight bytes are summed as one number, whatever the dtype: four times as fast on a CPU as summing bfloat16's two."""


ODD = 0x9E3779B97F4A7C15 - (1 << 64)
"""The golden ratio's 64-bit fraction (Knuth, The Art of Computer Programming 3, 6.4), as a signed number."""


def fingerprints(weights: Iterable[torch.Tensor]) -> list[int]:
    """A number of 64 bits for each weight. It reads each weight twice, makes no copy, and waits for the device once."""
    numbers = [fingerprint(weight) for weight in weights]
    return torch.stack([number.to(numbers[0].device) for number in numbers]).tolist() if numbers else []


def fingerprint(weight: torch.Tensor) -> torch.Tensor:
    """The bits of a weight as integers, summed along rows and columns, each sum times a number of its own, modulo 2^64.

    A changed bit changes a row's and a column's sum; so does a changed order, unless whole rows and columns make up for
    it. It finds drift, stray writes and broken memory; it is not a defence against an attacker.
    """
    flat = weight.detach().contiguous().flatten().view(torch.uint8)
    if flat.storage_offset() % 8:  # a part of a larger tensor, where no eight bytes begin
        flat = flat.clone()
    whole = len(flat) // ROW_BYTES * ROW_BYTES
    table, rest = flat[:whole].view(torch.int64).view(-1, COLUMNS), flat[whole:]
    return weighted(table.sum(0)) + weighted(table.sum(1)) * 3 + weighted(rest.long()) * 5


def weighted(sums: torch.Tensor) -> torch.Tensor:
    """The sum of int64 numbers, each times an odd number of its own."""
    factors = (torch.arange(len(sums), device=sums.device) * 2 + 1) * ODD
    return (sums * factors).sum()


class PristineWeights:
    """Copies of those weights that some adapter has touched, each made before its first change.

    Args:
        weights: every weight that an adapter may change, by name.
        device: where the copies are kept; None means beside the weights.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], device: torch.device | None = None) -> None:
        self._weights = weights
        self._device = device
        self._copies: dict[str, torch.Tensor] = {}
        self._norms: dict[str, float] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        """The pristine copy of a weight that is kept."""
        return self._copies[name]

    def keep(self, names: Iterable[str]) -> None:
        """Copy those of these weights of which there is no copy yet. They must be pristine now."""
        for name in names:
            if name not in self._copies:
                self._copies[name] = self._copy(self._weights[name])

    def norm(self, name: str) -> float:
        """Frobenius norm of a pristine weight. One that is not kept has never been changed."""
        if name not in self._norms:
            pristine = self._copies.get(name, self._weights[name])
            self._norms[name] = float(torch.linalg.vector_norm(pristine, dtype=torch.float32))
        return self._norms[name]

    @property
    def bytes(self) -> int:
        """Memory that the copies take."""
        return sum(copy.nbytes for copy in list(self._copies.values()))

    def _copy(self, weight: torch.Tensor) -> torch.Tensor:
        device = self._device or weight.device
        pinned = device.type == "cpu" and weight.is_cuda
        copy = torch.empty_like(weight, device=device, pin_memory=pinned)
        return copy.copy_(weight)
