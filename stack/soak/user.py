"""A client that comes again and again, does one thing or another, and looks at everything when the faults are over."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from stack.soak.recorded_client import RecordedClient
from stack.soak.reply import Reply

Act = Callable[[], object]


class SimulatedUser(ABC):
    """A client with something in mind.

    Args:
        client: how it reaches the API.
        choice: what it does next.
    """

    def __init__(self, client: RecordedClient, choice: random.Random) -> None:
        self.client = client
        self.choice = choice

    @property
    @abstractmethod
    def acts(self) -> Mapping[Act, int]:
        """Return what it may do, and how often beside the others."""

    @abstractmethod
    def settle(self) -> bool:
        """Send again whatever it does not know the outcome of; whether it knows all of them."""

    @abstractmethod
    def look_at_all(self) -> None:
        """Look at everything that it ever made."""

    def visit(self) -> None:
        """Do one thing or another."""
        acts = self.acts
        (act,) = self.choice.choices(tuple(acts), tuple(acts.values()))
        act()

    def sometimes_twice(self, act: Act) -> None:
        """Do something, now and then on two connections at once."""
        if self.choice.random() < 0.2:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda _: act(), range(2)))
        else:
            act()


def within_limits(ask: Callable[[], Reply]) -> Reply:
    """Ask again as long as a limit of the API key is in the way."""
    while (reply := ask()).status == HTTPStatus.TOO_MANY_REQUESTS:
        time.sleep(1)
    return reply
