"""Faults of servers that live: refusals, lost answers, a Valkey that is full or empty, receivers that are slow."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from stack.history.event import Kind, Phase, Request
from stack.history.recorder import Caller, Outcome, Recorder
from stack.soak.faults import Fault, Sleep
from stack.soak.proxy import Proxy, Refusal
from stack.soak.receiver import Manner, Receiver
from tasks.errors import JobNotFound, ValkeyUnavailable
from tasks.jobs.hash import flat
from tasks.jobs.keyspace import LEASES, UNSENT
from tasks.keys import KEYS
from tasks.lanes.queues import GENERATE, queue_of
from tasks.service import Service
from tasks.webhooks.secrets import secret_key

OPERATOR = Caller("operator", "operator")
DUPLICATES = 100
FULL_BYTES = 1 << 20
STEP_S = 600.0


def refusal(status: int, code: str) -> Refusal:
    """Return what S3 answers when it refuses."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>Not now.</Message></Error>'.encode()
    head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    return Refusal(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


STORAGE: Mapping[str, Refusal] = {
    "token_expired": refusal(400, "ExpiredToken"),
    "token_expired_403": refusal(403, "ExpiredToken"),
    "clock_skewed": refusal(403, "RequestTimeTooSkewed"),
    "conflict": refusal(409, "OperationAborted"),
    "too_many": refusal(429, "TooManyRequests"),
    "failing": refusal(500, "InternalError"),
    "slow_down": refusal(503, "SlowDown"),
    "cut": Refusal(),
}
"""By the name of the fault, what storage answers to every request for a while."""


@dataclass(frozen=True)
class NetworkFaults:
    """Faults between the parts.

    Attributes:
        choice: for how long.
    """

    api: Proxy
    valkey: Proxy
    storage: Proxy
    receiver: Receiver
    choice: random.Random

    def kinds(self) -> Mapping[str, Fault]:
        """By name."""
        return {
            "api_answers_lost": partial(self.lose_answers, self.api, 4),
            "valkey_answers_lost": partial(self.lose_answers, self.valkey, 2),
            "valkey_cut": partial(self.refuse, self.valkey, Refusal(), 4),
            **{f"storage_{name}": partial(self.refuse, self.storage, answer, 8) for name, answer in STORAGE.items()},
            **{f"receivers_{manner}": partial(self.treat, manner) for manner in (Manner.SLOW, Manner.FAILING)},
        }

    def lose_answers(self, proxy: Proxy, at_most_s: float) -> None:
        """Let a server serve its requests, and lose its responses."""
        proxy.loses_answers = True
        self._wait(at_most_s)
        proxy.loses_answers = False

    def refuse(self, proxy: Proxy, answer: Refusal, at_most_s: float) -> None:
        """Let a server refuse everything."""
        proxy.refusal = answer
        self._wait(at_most_s)
        proxy.refusal = None

    def treat(self, manner: Manner) -> None:
        """Let the receivers of webhooks treat every delivery in this way."""
        self.receiver.manner = manner
        self._wait(20)
        self.receiver.manner = None

    def _wait(self, at_most_s: float) -> None:
        time.sleep(self.choice.uniform(0.2, at_most_s))


@dataclass(frozen=True)
class StoreFaults:
    """Faults of the data that Valkey stores.

    Attributes:
        service: connected to Valkey without a proxy.
        recorder: told when everything is gone.
        everyones: ids of the jobs of all clients; clients add to it.
        choice: for how long.
        sleep: waits for a number of seconds.
    """

    service: Service
    recorder: Recorder
    everyones: list[str]
    choice: random.Random
    sleep: Sleep = time.sleep

    def kinds(self) -> Mapping[str, Fault]:
        """By name."""
        return {
            "valkey_full": self.fill,
            "valkey_emptied": self.empty,
            "valkey_clock_set_back": partial(self.step_clock, STEP_S),
            "valkey_clock_set_forward": partial(self.step_clock, -STEP_S),
            "message_repeated": self.repeat_message,
        }

    def fill(self) -> None:
        """Let Valkey have no room for a while."""
        valkey = self.service.valkey
        before = cast(dict[str, str], valkey.config_get("maxmemory"))["maxmemory"]
        valkey.config_set("maxmemory", str(FULL_BYTES))
        self.sleep(self.choice.uniform(1, 8))
        valkey.config_set("maxmemory", before)

    def empty(self) -> None:
        """Let Valkey lose everything; after a moment the operator brings back the API keys and their secrets."""
        valkey = self.service.valkey
        with self._noted():
            kept = {name: cast(dict[str, str], valkey.hgetall(name)) for name in self._hashes_of_keys()}
            valkey.flushall()
            self.sleep(self.choice.uniform(0, 2))
            for name, fields in kept.items():
                valkey.hset(name, items=flat(fields))

    def step_clock(self, seconds: float) -> None:
        """Let leases and unsent jobs look as they do when the clock of Valkey's host has stepped.

        The clock itself is the machine's, which no test may set.

        Args:
            seconds: by which the times that were written are moved into the future.
        """
        for index in (LEASES, UNSENT):
            for member, _ in list(self.service.valkey.zscan_iter(index)):
                self.service.valkey.zadd(index, {member: seconds}, incr=True, xx=True)

    def repeat_message(self) -> None:
        """Send a job's message several times, whatever the status of the job."""
        if not self.everyones:
            return
        job_id = self.choice.choice(self.everyones[-20:])
        with suppress(OperationalError, RedisError, ValkeyUnavailable, JobNotFound):
            queue = queue_of(self.service.store.get(job_id).spec.base_model)
            for _ in range(DUPLICATES):
                self.service.celery.send_task(GENERATE, args=(job_id,), queue=queue, priority=0)

    def _hashes_of_keys(self) -> list[str]:
        """Return where API keys and their webhook secrets are."""
        secrets = cast(list[str], self.service.valkey.keys(secret_key("*")))
        return [*secrets, *([KEYS] if self.service.keys.are_needed() else [])]

    @contextmanager
    def _noted(self) -> Iterator[None]:
        number = self.recorder.invoke(OPERATOR, Request(kind=Kind.EMPTY_VALKEY))
        yield
        self.recorder.end(number, OPERATOR, Outcome(Phase.OK))
