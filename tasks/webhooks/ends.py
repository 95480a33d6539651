"""Ends of jobs and batches of which no delivery has been made yet.

The step that ends a job or a batch adds its name, so that no end is lost with a process.

    stokehold:webhooks   sorted   names of ends, by time
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.jobs.keyspace import WEBHOOKS
from tasks.valkey import Valkey


@dataclass(frozen=True)
class End:
    """The end of a job or a batch whose client wants a message of it.

    Attributes:
        name: id of the job, or of the batch behind ``batch:``.
        delivery_id: the same for each message of the same end.
    """

    name: str
    delivery_id: str
    event: str
    owner: str | None
    url: str


class Ends:
    """The ends, in Valkey or Redis. ``Deliveries.enlist`` takes one out."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    def names(self, count: int) -> list[str]:
        """Return ``count`` names, half of them the oldest and half the newest, so that neither waits for the others."""
        now, _ = self._valkey.time()
        with self._valkey.pipeline(transaction=False) as pipeline:
            pipeline.zrange(WEBHOOKS, "-inf", now + 1, byscore=True, offset=0, num=count // 2)
            pipeline.zrange(WEBHOOKS, now + 1, "-inf", byscore=True, desc=True, offset=0, num=count // 2)
            oldest, newest = pipeline.execute()
        return list(dict.fromkeys([*oldest, *newest]))

    def postpone(self, name: str, seconds: float) -> None:
        """Leave an end alone for a while; nothing happens if it has become a delivery."""
        now, _ = self._valkey.time()
        self._valkey.zadd(WEBHOOKS, {name: now + seconds}, xx=True)

    def forget(self, name: str) -> None:
        """Make no delivery of an end."""
        self._valkey.zrem(WEBHOOKS, name)
