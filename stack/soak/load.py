"""Clients that come and go while the block runs."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from stack.soak.user import SimulatedUser

PAUSE_S = (0.1, 1.2)
"""Seconds between two actions of a client."""
SETTLE_S = 120


class Load:
    """Runs simulated users while the block runs, each on its own thread."""

    def __init__(self, users: Sequence[SimulatedUser], choice: random.Random) -> None:
        self._visitors = users
        self._choice = choice
        self._over = Event()
        self._pool = ThreadPoolExecutor(len(users), thread_name_prefix="user")
        self._visits: list[Future[None]] = []

    def __enter__(self) -> Load:
        self._visits = [self._pool.submit(self._come_again, user) for user in self._visitors]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()

    def settle(self) -> bool:
        """Let all users settle the requests whose outcome is unknown, and return whether they could.

        Raises:
            Exception: an error that a user did not expect.
        """
        for visits in self._visits:
            visits.result()
        deadline = time.monotonic() + SETTLE_S
        while unsettled := [user for user in self._visitors if not user.settle()]:
            if time.monotonic() > deadline:
                return not unsettled
            time.sleep(1)
        return True

    def look_at_all(self) -> None:
        """Let all users look at everything that they have made."""
        with ThreadPoolExecutor(len(self._visitors)) as pool:
            list(pool.map(lambda user: user.look_at_all(), self._visitors))

    def _come_again(self, user: SimulatedUser) -> None:
        while not self._over.wait(self._choice.uniform(*PAUSE_S)):
            user.visit()
