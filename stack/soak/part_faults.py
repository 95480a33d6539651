"""Faults of processes: each part is killed, frozen and shut down."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from stack.parts import Parts
from stack.process import POLL_S
from stack.soak.faults import Fault, Sleep
from stack.soak.orders import Order, Orders

AWAY_S = 10
FROZEN_S = 30
HANG_WITHIN_S = 20
"""Seconds within which a worker that is to hang must get a job; after that it is left alone."""
HANGS_S = 90
"""Seconds after which a hung worker that has not ended itself is killed."""


@dataclass(frozen=True)
class PartFaults:
    """Faults of a process.

    Attributes:
        choice: chooses the part, and for how long.
        sleep: waits for a number of seconds.
    """

    parts: Parts
    choice: random.Random
    sleep: Sleep = time.sleep

    def of_each(self, names: Iterable[str]) -> Mapping[str, Fault]:
        """The faults of parts of which there is one."""
        return {
            f"{name}_{what}": partial(fault, name)
            for name in names
            for what, fault in (("killed", self.kill), ("frozen", self.freeze), ("terminated", self.request_shutdown))
        }

    def of_workers(self, orders: Mapping[str, Orders]) -> Mapping[str, Fault]:
        """Return the faults of workers, each of one of them, from their order files by name."""
        names = tuple(orders)

        def one() -> str:
            return self.choice.choice(names)

        def hang() -> None:
            name = one()
            self.hang(name, orders[name])

        return {
            "worker_killed": lambda: self.kill(one(), away_s=0),
            "worker_frozen": lambda: self.freeze(one()),
            "worker_terminated": lambda: self.request_shutdown(one()),
            "worker_hung": hang,
            "worker_broken": lambda: self.break_device(orders[one()]),
        }

    def kill(self, name: str, away_s: float = AWAY_S) -> None:
        """End a part with kill -9, and start it again after a while."""
        part = self.parts.kill(name)
        self.sleep(self.choice.uniform(0, away_s))
        self.parts.start([part])

    def freeze(self, name: str) -> None:
        """Freeze a part for a while, workers for less or more than their lease."""
        self.parts.freeze(name)
        self.sleep(self.choice.uniform(0, FROZEN_S))
        self.parts.thaw(name)

    def request_shutdown(self, name: str) -> None:
        """Send a part one SIGTERM or two, and start it again when it has ended."""
        pid = self.parts.pid(name)
        for _ in range(self.choice.choice((1, 2))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            self.sleep(self.choice.uniform(0, 1))
        self.parts.start([self.parts.end(name)])

    def hang(self, name: str, orders: Orders) -> None:
        """Let a drawing hang, until the worker ends itself or its time is over, and start another."""
        orders.give(Order.HANG)
        self._wait_while(lambda: not orders.is_hanging, HANG_WITHIN_S)
        if orders.is_hanging:
            self._wait_while(lambda: not self.parts.has_died(name), HANGS_S)
            orders.give(Order.WORK)
            self.parts.start([self.parts.kill(name)])
        orders.give(Order.WORK)

    def break_device(self, orders: Orders) -> None:
        """Let every drawing of a worker fail for a while."""
        orders.give(Order.BREAK)
        self.sleep(self.choice.uniform(5, 20))
        orders.give(Order.WORK)

    def _wait_while(self, is_so: Callable[[], bool], at_most_s: float) -> None:
        deadline = time.monotonic() + at_most_s
        while is_so() and time.monotonic() < deadline:
            self.sleep(POLL_S)
