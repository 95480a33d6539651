"""Jobs accepted a second, over messages sent a second by an API that does nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from benchmarks.http_client import Connection
from stack.ports import LOOPBACK

CONNECTIONS = 32
"""As many as the two processes of 16 threads can serve at once."""

REQUEST = {"prompt": "a red circle on a blue background", "adapters": [{"ref": "dusk", "scale": 0.8}], "seed": 1}


@dataclass(frozen=True)
class Accepting:
    """Rates of rounds in turn, by which a machine whose speed changes meanwhile deceives neither way."""

    jobs_per_s: list[float]
    bare_per_s: list[float]
    errors: int

    @property
    def ratio(self) -> float:
        """Of all rounds."""
        return sum(self.jobs_per_s) / sum(self.bare_per_s)


async def measure_accepting(api: int, bare: int, rounds: int, round_s: float, forget: Callable[[], None]) -> Accepting:
    """Submit to both APIs in turn.

    Args:
        api, bare: their ports.
        forget: removes what was submitted; called after each round.
    """
    rates: dict[int, list[float]] = {api: [], bare: []}
    errors = 0
    for number in range(rounds + 1):
        for port in (api, bare):
            accepted, refused = await submit_for(port, round_s)
            forget()
            if number:  # the first round warms both up
                rates[port].append(accepted / round_s)
            errors += refused
    return Accepting(rates[api], rates[bare], errors)


async def submit_for(port: int, duration_s: float) -> tuple[int, int]:
    """Submit over all connections for so long; how many were accepted, and how many were not."""
    end = time.monotonic() + duration_s

    async def submit_one_after_another() -> tuple[int, int]:
        accepted = refused = 0
        async with Connection(LOOPBACK, port) as connection:
            while time.monotonic() < end:
                answer = await connection.post("/v1/jobs", REQUEST)
                accepted += answer.status == HTTPStatus.ACCEPTED
                refused += answer.status != HTTPStatus.ACCEPTED
        return accepted, refused

    clients: list[Awaitable[tuple[int, int]]] = [submit_one_after_another() for _ in range(CONNECTIONS)]
    counts = await asyncio.gather(*clients)
    return sum(accepted for accepted, _ in counts), sum(refused for _, refused in counts)
