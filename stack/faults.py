"""Faults at random: each is done to the running stack, and undone after a while."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from stack.parts import Parts
from tasks.errors import BrokerUnavailable, JobNotFound
from tasks.routing import GENERATE, queue_of
from tasks.service import Service

Say = Callable[[str], None]

DUPLICATES = 100


class Faults:
    """Does one fault after another.

    Args:
        parts: the stack.
        service: as a client of its broker sees it.
        workers: names of the workers' parts.
        choice: what happens, to whom, for how long.
        say: told of each fault.

    Attributes:
        done: how often each kind was done.
    """

    def __init__(self, parts: Parts, service: Service, workers: Sequence[str], choice: random.Random, say: Say) -> None:
        self._parts = parts
        self._service = service
        self._workers = workers
        self._choice = choice
        self._say = say
        self._accepted: Sequence[str] = ()
        self.done: Counter[str] = Counter()

    def run(self, seconds: float, accepted: Sequence[str]) -> None:
        """Do faults for so long; what was broken is whole again at the end.

        Args:
            accepted: ids of the jobs, growing meanwhile.

        Raises:
            StackError: a part did not come back.
        """
        self._accepted = accepted
        kinds: dict[str, Callable[[], None]] = {
            "worker_killed": self.kill_worker,
            "worker_frozen": self.freeze_worker,
            "worker_told_to_end": self.end_worker,
            "valkey_killed": lambda: self.away("valkey", 10),
            "valkey_frozen": lambda: self.freeze("valkey", 30),
            "storage_killed": lambda: self.away("s3", 60),
            "storage_frozen": lambda: self.freeze("s3", 30),
            "api_killed": lambda: self.away("api", 2),
            "housekeeping_killed": lambda: self.away("housekeeping", 5),
            "light_worker_killed": lambda: self.away("light-worker", 5),
            "message_repeated": self.repeat_message,
        }
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self._choice.uniform(1, 6))
            name = self._choice.choice(tuple(kinds))
            begin = time.monotonic()
            kinds[name]()
            self.done[name] += 1
            self._say(f"  {name:<20} {time.monotonic() - begin:5.1f} s   {len(accepted)} jobs so far")

    def kill_worker(self) -> None:
        """End a worker with kill -9, and start another."""
        self._parts.start([self._parts.kill(self._choice.choice(self._workers))])

    def freeze_worker(self) -> None:
        """Let a worker stand still, for less or more than its lease."""
        self.freeze(self._choice.choice(self._workers), 2 * self._service.settings.lease_s)

    def end_worker(self) -> None:
        """Tell a worker once or twice to end, and start another when it has ended."""
        name = self._choice.choice(self._workers)
        pid = self._parts.pid(name)
        for _ in range(self._choice.choice((1, 2))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            time.sleep(self._choice.uniform(0, 1))
        self._parts.start([self._parts.end(name)])

    def away(self, name: str, at_most_s: float) -> None:
        """Kill a part, and start it again after a while."""
        part = self._parts.kill(name)
        time.sleep(self._choice.uniform(0, at_most_s))
        self._parts.start([part])

    def freeze(self, name: str, at_most_s: float) -> None:
        """Let a part stand still for a while."""
        self._parts.freeze(name)
        time.sleep(self._choice.uniform(0, at_most_s))
        self._parts.thaw(name)

    def repeat_message(self) -> None:
        """Send a job's message again and again, whatever has become of it."""
        if not self._accepted:
            return
        job_id = self._choice.choice(self._accepted[-20:])
        with suppress(OperationalError, RedisError, BrokerUnavailable, JobNotFound):
            queue = queue_of(self._service.store.get(job_id).spec.base_model)
            for _ in range(DUPLICATES):
                self._service.celery.send_task(GENERATE, args=(job_id,), queue=queue, priority=0)
