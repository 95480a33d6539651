"""A stream of random jobs, some of which are withdrawn again."""

from __future__ import annotations

import random
import threading

from stack.client import Client, Record
from stack.errors import StackError
from tasks.errors import BrokerUnavailable
from tasks.service import Service

MOST_WAITING = 20
PAUSE_S = 0.3
CANCELED_OF_A_HUNDRED = 10
LATEST = 20


class Load:
    """Submits jobs while the block runs, as many as the workers can bear. An API that is away is asked again.

    Attributes:
        accepted: ids of the jobs that the API has acknowledged.
    """

    def __init__(self, client: Client, service: Service, choice: random.Random) -> None:
        self.accepted: list[str] = []
        self._client = client
        self._service = service
        self._choice = choice
        self._adapters = tuple(adapter["name"] for adapter in client.adapters())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(PAUSE_S):
            try:
                if self._waiting() < MOST_WAITING:
                    self.accepted.append(self._client.submit(self._job()))
                    if self._choice.randrange(100) < CANCELED_OF_A_HUNDRED:
                        self._client.cancel(self._choice.choice(self.accepted[-LATEST:]))
            except (StackError, BrokerUnavailable):
                continue  # not acknowledged, so not ours to count; or canceled too late

    def _waiting(self) -> int:
        return sum(self._service.store.waiting(model.slug) for model in self._service.base_models)

    def _job(self) -> Record:
        names = self._choice.sample(self._adapters, self._choice.choice((0, 1, 1, 1, 2)))
        return {
            "prompt": "a red circle on a blue background",
            "steps": self._choice.randint(2, 12),
            "images": self._choice.randint(1, 2),
            "adapters": [{"ref": name, "scale": self._choice.choice((0.5, 1.0))} for name in names],
        }
