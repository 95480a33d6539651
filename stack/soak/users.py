"""The clients of a soak: several owners, each with an API key, limits of its own, and several connections."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stack.history.recorder import Caller, Recorder
from stack.ports import LOOPBACK
from stack.soak.adapter_user import AdapterUser
from stack.soak.batch_user import BatchUser
from stack.soak.job_user import JobUser
from stack.soak.random_requests import RandomRequests
from stack.soak.recorded_client import RecordedClient
from stack.soak.user import SimulatedUser
from tasks.errors import ValkeyUnavailable
from tasks.keys import ApiKeys, KeyLimits, default_limits
from tasks.service import Service

MAX_WAITING = 20
"""Waiting jobs from which on no client submits another, so that the workers keep up."""

OWNERS: Mapping[str, Mapping[str, int]] = {
    "alice": {"requests_per_minute": 10_000},
    "bob": {"requests_per_minute": 10_000, "queued_jobs": 5},
    "carol": {"requests_per_minute": 120},
}
"""Limits that differ from the usual ones, by owner."""


@dataclass(frozen=True)
class Users:
    """Makes the simulated users.

    Attributes:
        api: URL of the API.
        receiver: port of the receiver of webhooks.
        webhook_secrets: by owner, what signs its webhooks.
        everyones: ids of all jobs; the users add to it.
    """

    service: Service
    api: str
    receiver: int
    recorder: Recorder
    choice: random.Random
    webhook_secrets: dict[str, str] = field(default_factory=dict)
    everyones: list[str] = field(default_factory=list)

    def users(self, adapters: Sequence[str]) -> Iterator[SimulatedUser]:
        """Return every user of every owner.

        Args:
            adapters: names of the adapters that all owners may use.
        """
        for owner, limits in OWNERS.items():
            secret = self._key(owner, limits)
            mine = AdapterUser(self._client(owner, "adapters", secret), self._chance())
            usable = usable_by(adapters, mine)
            requests = RandomRequests(usable, f"http://{LOOPBACK}:{self.receiver}/{owner}", self._chance())
            yield mine
            yield BatchUser(self._client(owner, "batches", secret), self._chance(), requests)
            for number in (1, 2):
                client = self._client(owner, f"jobs{number}", secret)
                yield JobUser(client, self._chance(), requests, self.has_room, self.everyones)

    def has_room(self) -> bool:
        """Return whether the workers can keep up with another job."""
        try:
            waiting = sum(self.service.index.waiting(model.slug) for model in self.service.base_models)
        except ValkeyUnavailable:
            return False
        return waiting < MAX_WAITING

    def _key(self, owner: str, limits: Mapping[str, int]) -> str:
        usual = default_limits(self.service.settings).model_dump()
        key, secret = ApiKeys(self.service.valkey).create(owner, KeyLimits.model_validate({**usual, **limits}))
        self.webhook_secrets[owner], _ = self.service.webhook_secrets.rotate(key.id)
        return secret

    def _client(self, owner: str, name: str, secret: str) -> RecordedClient:
        return RecordedClient(Caller(f"{owner}-{name}", owner), self.api, secret, self.recorder)

    def _chance(self) -> random.Random:
        return random.Random(self.choice.random())


def usable_by(adapters: Sequence[str], mine: AdapterUser) -> Callable[[], Sequence[str]]:
    """Return the adapters that an owner may use: those of all owners, and its own at the moment."""
    return lambda: [*adapters, *mine.usable]
