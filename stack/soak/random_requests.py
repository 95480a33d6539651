"""Requests of simulated clients."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from stack.soak.observations import Json, prompt_with


@dataclass(frozen=True)
class RandomRequests:
    """Makes requests at random.

    Attributes:
        adapters: names of adapters that may be used now.
        webhook_url: URL for the ends of jobs and batches.
        choice: source of randomness.
    """

    adapters: Callable[[], Sequence[str]]
    webhook_url: str
    choice: random.Random

    def job(self, key: str) -> Json:
        """The body of a submission that carries its key."""
        body: dict[str, Any] = {
            "prompt": prompt_with(key),
            "steps": self.choice.randint(2, 12),
            "images": self.choice.randint(1, 2),
            "adapters": self._some(self.choice.choice((0, 1, 1, 1, 2))),
        }
        if self.choice.random() < 0.3:
            body["webhook_url"] = self.webhook_url
        if self.choice.random() < 0.1:
            body["deadline_s"] = self.choice.choice((1, 20, 600))
        return body

    def lines(self) -> Sequence[Json]:
        """The lines of a batch."""
        groups = [self._some(1) for _ in range(2)]
        return [
            {
                "custom_id": f"line-{number}",
                "prompt": "a blue square on a red background",
                "steps": self.choice.randint(1, 4),
                "adapters": self.choice.choice(groups),
                "seed": number,
            }
            for number in range(self.choice.randint(3, 12))
        ]

    def batch_query(self, key: str) -> str:
        """Return the query with which a batch is submitted; the same for the same key."""
        return f"?webhook_url={quote(self.webhook_url)}" if key.endswith(("0", "5")) else ""

    def _some(self, count: int) -> list[Json]:
        names = self.adapters()
        chosen = self.choice.sample(names, min(count, len(names)))
        return [{"ref": name, "scale": self.choice.choice((0.5, 1.0))} for name in chosen]
