"""The clients of a soak: several owners, each with an API key, limits of its own, and several connections."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stack.history.recorder import Caller, Recorder
from stack.ports import LOOPBACK
from stack.soak.adapter_visitor import AdapterVisitor
from stack.soak.batch_visitor import BatchVisitor
from stack.soak.job_visitor import JobVisitor
from stack.soak.recorded_client import RecordedClient
from stack.soak.visitor import Visitor
from stack.soak.wishes import Wishes
from tasks.errors import BrokerUnavailable
from tasks.keys import ApiKeys, KeyLimits, default_limits
from tasks.service import Service

MOST_WAITING = 20
"""Jobs that wait beyond which no client submits another: as many as the workers can bear."""

OWNERS: Mapping[str, Mapping[str, int]] = {
    "alice": {"requests_per_minute": 10_000},
    "bob": {"requests_per_minute": 10_000, "queued_jobs": 5},
    "carol": {"requests_per_minute": 120},
}
"""By name, the limits that are not the usual ones."""


@dataclass(frozen=True)
class People:
    """Makes the visitors.

    Attributes:
        api: URL of the API.
        receiver: port of the receiver of webhooks.
        webhook_secrets: by owner, what signs its webhooks.
        everyones: ids of all jobs, which the visitors add to.
    """

    service: Service
    api: str
    receiver: int
    recorder: Recorder
    choice: random.Random
    webhook_secrets: dict[str, str] = field(default_factory=dict)
    everyones: list[str] = field(default_factory=list)

    def visitors(self, adapters: Sequence[str]) -> Iterator[Visitor]:
        """Every visitor of every owner.

        Args:
            adapters: names of the adapters that all owners may use.
        """
        for owner, limits in OWNERS.items():
            secret = self._key(owner, limits)
            mine = AdapterVisitor(self._client(owner, "adapters", secret), self._chance())
            usable = usable_by(adapters, mine)
            wishes = Wishes(usable, f"http://{LOOPBACK}:{self.receiver}/{owner}", self._chance())
            yield mine
            yield BatchVisitor(self._client(owner, "batches", secret), self._chance(), wishes)
            for number in (1, 2):
                client = self._client(owner, f"jobs{number}", secret)
                yield JobVisitor(client, self._chance(), wishes, self.has_room, self.everyones)

    def has_room(self) -> bool:
        """Whether the workers can bear another job."""
        try:
            waiting = sum(self.service.store.waiting(model.slug) for model in self.service.base_models)
        except BrokerUnavailable:
            return False
        return waiting < MOST_WAITING

    def _key(self, owner: str, limits: Mapping[str, int]) -> str:
        usual = default_limits(self.service.settings).model_dump()
        key, secret = ApiKeys(self.service.broker).create(owner, KeyLimits.model_validate({**usual, **limits}))
        self.webhook_secrets[owner], _ = self.service.webhook_secrets.rotate(key.id)
        return secret

    def _client(self, owner: str, name: str, secret: str) -> RecordedClient:
        return RecordedClient(Caller(f"{owner}-{name}", owner), self.api, secret, self.recorder)

    def _chance(self) -> random.Random:
        return random.Random(self.choice.random())


def usable_by(adapters: Sequence[str], mine: AdapterVisitor) -> Callable[[], Sequence[str]]:
    """The adapters that an owner may use: those of all, and at each moment its own."""
    return lambda: [*adapters, *mine.usable]
