"""The weights as loaded: what every merge starts from, and what the base goes back to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch


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

    def __iter__(self) -> Iterator[str]:
        return iter(self._copies)

    def keep(self, names: Iterable[str]) -> None:
        """Copy those of these weights of which there is no copy yet. They must be pristine now."""
        for name in names:
            if name not in self._copies:
                self._copies[name] = self._copy(self._weights[name])

    def norm(self, name: str) -> float:
        """Frobenius norm of a pristine weight that is kept."""
        if name not in self._norms:
            self._norms[name] = float(torch.linalg.vector_norm(self._copies[name], dtype=torch.float32))
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
