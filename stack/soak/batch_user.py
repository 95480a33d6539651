"""A simulated user that submits batches."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from stack.history.event import SeenBatch
from stack.soak.observations import Json, seen_batch, seen_images
from stack.soak.random_requests import RandomRequests
from stack.soak.recorded_client import RecordedClient
from stack.soak.reply import Reply
from stack.soak.user import Act, SimulatedUser, within_limits

MAX_AT_WORK = 2
SLOW_S = 3.0
"""Seconds for which a slow upload pauses in the middle of its file."""


class BatchUser(SimulatedUser):
    """Submits batches, reads them and their results, cancels some and tries some again.

    Args:
        requests: makes its requests.

    Attributes:
        known: its batches, as last seen.
        unsettled: by key, the lines of submissions that it must send again.
    """

    def __init__(self, client: RecordedClient, choice: random.Random, requests: RandomRequests) -> None:
        super().__init__(client, choice)
        self.known: dict[str, SeenBatch] = {}
        self.unsettled: dict[str, Sequence[Json]] = {}
        self._requests = requests
        self._count = 0

    @property
    def acts(self) -> Mapping[Act, int]:
        return {
            self.submit: 2,
            self.send_again: 2,
            self.read: 6,
            self.read_results: 3,
            self.list_jobs: 2,
            self.cancel: 1,
            self.retry: 1,
        }

    def settle(self) -> bool:
        for key in tuple(self.unsettled):
            self.send(key)
        return not self.unsettled

    def look_at_all(self) -> None:
        for batch_id in tuple(self.known):
            self.see(within_limits(partial(self.client.read_batch, batch_id)))
            self.fetch(batch_id, within_limits(partial(self.client.read_results, batch_id)))

    def submit(self) -> None:
        """Submit a batch; now and then beside a slow upload of the same batch."""
        if sum(not batch.status.is_terminal for batch in self.known.values()) < MAX_AT_WORK:
            self._count += 1
            key = f"{self.client.caller.name}-{self._count}"
            self.unsettled[key] = self._requests.lines()
            if self.choice.random() < 0.3:
                self.send_beside_a_slow_one(key)
            else:
                self.sometimes_twice(partial(self.send, key))

    def send_beside_a_slow_one(self, key: str) -> None:
        """Send a batch while a first upload of it is still on its way."""
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(self.send, key, SLOW_S)
            time.sleep(self.choice.uniform(0, SLOW_S))
            self.send(key)
            slow.result()

    def send(self, key: str, pause_s: float = 0) -> None:
        """Send a submission, for the first time or again."""
        if lines := self.unsettled.get(key):
            reply = self.client.submit_batch(lines, key, self._requests.batch_query(key), pause_s)
            if reply.is_settled:
                self.unsettled.pop(key, None)
            self.see(reply)

    def send_again(self) -> None:
        """Send a submission again whose outcome is unknown."""
        if self.unsettled:
            self.send(self.choice.choice(tuple(self.unsettled)))

    def read(self) -> None:
        """Read the record of a batch."""
        if batch_id := self.one():
            reply = self.client.read_batch(batch_id)
            if reply.is_gone:
                del self.known[batch_id]
            self.see(reply)

    def read_results(self) -> None:
        """Read results, and fetch an image of them."""
        if batch_id := self.one():
            self.fetch(batch_id, self.client.read_results(batch_id), most=1)

    def list_jobs(self) -> None:
        """List the jobs of a batch."""
        if batch_id := self.one():
            self.client.list_jobs_of_batch(batch_id)

    def cancel(self) -> None:
        """Cancel a batch."""
        if batch_id := self.one():
            self.see(self.client.cancel_batch(batch_id))

    def retry(self) -> None:
        """Retry the lines without images."""
        if batch_id := self.one():
            self.sometimes_twice(lambda: self.see(self.client.retry_batch(batch_id)))

    def one(self) -> str | None:
        """Return one of the latest batches."""
        return self.choice.choice(tuple(self.known)[-MAX_AT_WORK:]) if self.known else None

    def see(self, reply: Reply) -> None:
        """Remember a batch."""
        if reply.is_done:
            batch = seen_batch(reply.record)
            self.known[batch.id] = batch

    def fetch(self, batch_id: str, reply: Reply, most: int | None = None) -> None:
        """Fetch images of the results of a batch."""
        results = [json.loads(line) for line in reply.body.splitlines()] if reply.is_done else []
        images = [image for result in results for image in result["images"]]
        for image, recorded in list(zip(images, seen_images(images), strict=True))[:most]:
            self.client.fetch_image(batch_id, image["url"], recorded)
