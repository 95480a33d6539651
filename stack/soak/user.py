"""A client that acts at random, and looks at everything when the faults are over."""

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
    """A client that acts at random.

    Args:
        client: its client of the API.
        choice: chooses its next action.
    """

    def __init__(self, client: RecordedClient, choice: random.Random) -> None:
        self.client = client
        self.choice = choice

    @property
    @abstractmethod
    def acts(self) -> Mapping[Act, int]:
        """Return its possible actions, each with its weight."""

    @abstractmethod
    def settle(self) -> bool:
        """Repeat every request whose outcome is unknown, and return whether all outcomes are known."""

    @abstractmethod
    def look_at_all(self) -> None:
        """Look at everything that it has made."""

    def visit(self) -> None:
        """Act once."""
        acts = self.acts
        (act,) = self.choice.choices(tuple(acts), tuple(acts.values()))
        act()

    def sometimes_twice(self, act: Act) -> None:
        """Act, now and then on two connections at once."""
        if self.choice.random() < 0.2:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda _: act(), range(2)))
        else:
            act()


def within_limits(ask: Callable[[], Reply]) -> Reply:
    """Repeat a request while a limit of the API key refuses it."""
    while (reply := ask()).status == HTTPStatus.TOO_MANY_REQUESTS:
        time.sleep(1)
    return reply
