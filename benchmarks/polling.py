"""Many clients that poll the API while jobs are submitted at a steady rate.

Each client submits a job, polls it until it has succeeded, rests, and begins again; a plain poll is repeated when the
answer's ``Retry-After`` says. Jobs are claimed and finished at the store, at the rate that is wanted, so that new ones
come at the same rate.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

from benchmarks.accepting import REQUEST
from benchmarks.http_client import Answer, Connection
from stack.ports import LOOPBACK
from tasks.errors import ValkeyUnavailable
from tasks.jobs.result import Result, Timings
from tasks.jobs.store import JobStore

LONG_POLLERS_IN_A_HUNDRED = 20
LONG_WAIT_S = 10


@dataclass
class Polling:
    """The outcome of the polls.

    Attributes:
        plain_s: seconds that each plain poll took.
        held: long polls answered.
        submitted: jobs accepted after the first one of each client.
        failures: what went wrong, in words.
    """

    plain_s: list[float] = field(default_factory=list)
    held: int = 0
    submitted: int = 0
    failures: list[str] = field(default_factory=list)

    def percentile_ms(self, share: float) -> float:
        """Of the plain polls."""
        return round(sorted(self.plain_s)[int(len(self.plain_s) * share)] * 1000, 2)


class Crowd:
    """The clients, and what finishes their jobs."""

    def __init__(self, port: int, store: JobStore) -> None:
        self._port = port
        self._store = store
        self._waiting: deque[str] = deque()
        self.met = Polling()

    async def run(self, clients: int, jobs_per_s: float, duration_s: float) -> None:
        """Let them poll for so long after all of them have come; they come one after another."""
        crowd = []
        for number in range(clients):
            crowd.append(asyncio.create_task(self._client(held=number % 100 < LONG_POLLERS_IN_A_HUNDRED)))
            await asyncio.sleep(1 / 100)
        await asyncio.sleep(5)
        self.met = Polling()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._finish_jobs(jobs_per_s), duration_s)
        for client in crowd:
            client.cancel()
        for ending in await asyncio.gather(*crowd, return_exceptions=True):
            if isinstance(ending, Exception):
                raise ending

    async def _client(self, *, held: bool) -> None:
        async with Connection(LOOPBACK, self._port) as connection:
            while True:
                try:
                    await self._one_job(connection, f"?wait={LONG_WAIT_S}" if held else "")
                except (OSError, EOFError) as error:
                    self.met.failures.append(repr(error))

    async def _one_job(self, connection: Connection, query: str) -> None:
        answer = self._checked(await connection.post("/v1/jobs", REQUEST), HTTPStatus.ACCEPTED)
        self.met.submitted += 1
        path = answer.headers["location"] + query
        self._waiting.append(answer.body["id"])
        while (again_s := seconds_until_the_next(answer.headers)) is not None:
            await asyncio.sleep(again_s * random.uniform(1, 1.2))
            begin = time.perf_counter()
            answer = self._checked(await connection.get(path), HTTPStatus.OK)
            if query:
                self.met.held += 1
            else:
                self.met.plain_s.append(time.perf_counter() - begin)

    def _checked(self, answer: Answer, wanted: HTTPStatus) -> Answer:
        if answer.status != wanted:
            self.met.failures.append(f"{answer.status}: {answer.body}")
        return answer

    async def _finish_jobs(self, jobs_per_s: float) -> None:
        start = time.monotonic()
        finished = 0
        while True:
            if self._waiting and finished < (time.monotonic() - start) * jobs_per_s:
                await asyncio.to_thread(self._finish, self._waiting.popleft())
                finished += 1
            else:
                await asyncio.sleep(0.2 / jobs_per_s)

    def _finish(self, job_id: str) -> None:
        try:
            job = self._store.claim(job_id, "benchmark")
            if job is not None:
                self._store.succeed(job, Result(images=()), Timings())
        except ValkeyUnavailable as error:
            self.met.failures.append(str(error))


def seconds_until_the_next(headers: Mapping[str, str]) -> float | None:
    """Return when to poll again; None when the job has ended."""
    return float(headers["retry-after"]) if "retry-after" in headers else None
