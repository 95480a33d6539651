"""Random changes of weights, of every kind that an adapter may hold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from workers.swap.changes import Change, Difference, Hadamard, Kronecker, LowRank, Placed, Scaled
from workers.swap.engine import PreparedAdapter
from workers.swap.parsed_adapter import ParsedAdapter
from workers.swap.whole_changes import Normalised, Rotated, cayley

RANK = 4
BLOCK = 8

Numbers = Callable[..., torch.Tensor]
"""Random numbers of a shape."""


def low_rank(shape: torch.Size, numbers: Numbers) -> LowRank:
    return LowRank(numbers(RANK, shape[1:].numel()), numbers(shape[0], RANK), 0.5)


def hadamard(shape: torch.Size, numbers: Numbers) -> Hadamard:
    up, down = (shape[0], RANK), (RANK, shape[1:].numel())
    return Hadamard(numbers(*up), numbers(*down), numbers(*up), numbers(*down), 2.0)


def kronecker(shape: torch.Size, numbers: Numbers) -> Kronecker:
    return Kronecker(numbers(4, 4), numbers(shape[0] // 4, shape[1] // 4, *shape[2:]), 0.5)


def rotated(shape: torch.Size, numbers: Numbers, *, stages: int) -> Rotated:
    blocks = numbers(stages, shape[0] // BLOCK, BLOCK, BLOCK)
    return Rotated(cayley(blocks - blocks.mT), butterfly=stages > 1)


KINDS: Mapping[str, Callable[[torch.Size, Numbers], Change]] = MappingProxyType(
    {
        "lora": low_rank,
        "loha": hadamard,
        "lokr": kronecker,
        "difference": lambda shape, numbers: Difference(numbers(*shape)),
        "ia3": lambda shape, numbers: Scaled(numbers(shape[0]), on_input=False),
        "ia3-on-input": lambda shape, numbers: Scaled(numbers(shape[1]), on_input=True),
        "dora": lambda shape, numbers: Normalised(low_rank(shape, numbers), 1 + numbers(shape[0])),
        "dora-on-input": lambda shape, numbers: Normalised(low_rank(shape, numbers), 1 + numbers(shape[1]), True),
        "dora-of-loha": lambda shape, numbers: Normalised(hadamard(shape, numbers), 1 + numbers(shape[0])),
        "dora-of-lokr": lambda shape, numbers: Normalised(kronecker(shape, numbers), 1 + numbers(shape[0])),
        "oft": lambda shape, numbers: rotated(shape, numbers, stages=1),
        "boft": lambda shape, numbers: rotated(shape, numbers, stages=2),
        "placed": lambda shape, numbers: Placed(low_rank(torch.Size((8, *shape[1:])), numbers), 8, 16),
    }
)
"""For a weight with two axes or more, of which the first two are divisible by 16."""


def random_adapter(
    kind: str, weights: Mapping[str, torch.Tensor], scale: float = 1.0, *, seed: int = 0
) -> PreparedAdapter:
    """An adapter that changes these weights: in this way those that can be, and the others by a whole difference."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.1

    def change(shape: torch.Size) -> Change:
        fits = len(shape) > 1 and not any(size % 16 for size in shape[:2])
        return KINDS[kind](shape, numbers) if fits else Difference(numbers(*shape))

    changes = {name: (change(weight.shape),) for name, weight in weights.items()}
    parsed = ParsedAdapter.packed(changes, {name: weight.dtype for name, weight in weights.items()})
    return prepared_from(f"{kind}-{seed}", parsed, scale)


def prepared_from(name: str, parsed: ParsedAdapter, scale: float = 1.0) -> PreparedAdapter:
    """An adapter that was read from no file."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    adapter = ResolvedAdapter(
        ref=name,
        source=AdapterSource.FOLDER,
        repository=name,
        commit=digest,
        weight_name=f"{name}.safetensors",
        base_model="tiny",
    )
    return PreparedAdapter(adapter, scale, Path(adapter.weight_name), digest, parsed)
