"""A simulated user that submits jobs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial

from stack.soak.observations import Json, seen_images
from stack.soak.random_requests import RandomRequests
from stack.soak.recorded_client import RecordedClient
from stack.soak.reply import Reply
from stack.soak.user import Act, SimulatedUser, within_limits
from tasks.jobs.job import Status

LATEST = 20
"""A client cancels one in this many jobs."""


class JobUser(SimulatedUser):
    """Submits jobs, polls them, cancels some and fetches their images.

    Args:
        requests: makes its requests.
        has_room: tells whether the workers can keep up with another job.
        everyones: ids of the jobs of all clients, some of which it asks for.

    Attributes:
        known: its jobs, as last seen.
        unsettled: by key, submissions that it must send again, since their outcome is unknown.
    """

    def __init__(
        self,
        client: RecordedClient,
        choice: random.Random,
        requests: RandomRequests,
        has_room: Callable[[], bool],
        everyones: list[str],
    ) -> None:
        super().__init__(client, choice)
        self.known: dict[str, Json] = {}
        self.unsettled: dict[str, Json] = {}
        self._requests = requests
        self._has_room = has_room
        self._everyones = everyones
        self._count = 0

    @property
    def acts(self) -> Mapping[Act, int]:
        return {
            self.submit: 6,
            self.poll: 12,
            self.send_again: 6,
            self.cancel: 1,
            self.client.list_jobs: 1,
            self.client.list_deliveries: 1,
            self.look_at_one_of_everyones: 1,
        }

    def settle(self) -> bool:
        for key in tuple(self.unsettled):
            self.send(self.client, key)
        return not self.unsettled

    def look_at_all(self) -> None:
        within_limits(self.client.list_jobs)
        within_limits(self.client.list_deliveries)
        for job_id in tuple(self.known):
            reply = within_limits(partial(self.client.poll_job, job_id))
            self.see(reply)
            self.fetch(reply)

    def submit(self) -> None:
        """Submit a job, sometimes with too short a timeout for the response."""
        if self._has_room():
            self._count += 1
            key = f"{self.client.caller.name}-{self._count}"
            self.unsettled[key] = self._requests.job(key)
            timeout_s = self.choice.choice((30, 30, 30, self.choice.uniform(0.01, 0.3)))
            self.sometimes_twice(partial(self.send, self.client.with_timeout(timeout_s), key))

    def send(self, client: RecordedClient, key: str) -> None:
        """Send a submission, for the first time or again."""
        if body := self.unsettled.get(key):  # on another connection it may have been settled meanwhile
            reply = client.submit_job(body, key)
            if reply.is_settled:
                self.unsettled.pop(key, None)
            self.see(reply)

    def send_again(self) -> None:
        """Send a submission again whose outcome is unknown."""
        if self.unsettled:
            self.sometimes_twice(partial(self.send, self.client, self.choice.choice(tuple(self.unsettled))))

    def poll(self) -> None:
        """Poll a job that has not ended, and fetch its images if it has now."""
        under_way = [job_id for job_id, record in self.known.items() if not Status(record["status"]).is_terminal]
        if under_way:
            job_id = self.choice.choice(under_way)
            reply = self.client.poll_job(job_id, self.choice.choice((0, 0, 1, 2)))
            if reply.is_gone:
                del self.known[job_id]
            self.see(reply)
            if self.choice.random() < 0.5:
                self.fetch(reply)

    def cancel(self) -> None:
        """Cancel one of the latest jobs."""
        if self.known:
            job_id = self.choice.choice(tuple(self.known)[-LATEST:])
            self.sometimes_twice(lambda: self.see(self.client.cancel_job(job_id)))

    def look_at_one_of_everyones(self) -> None:
        """Ask for a job that may belong to another owner."""
        if self._everyones:
            self.client.poll_job(self.choice.choice(self._everyones))

    def see(self, reply: Reply) -> None:
        """Remember a job."""
        if reply.is_done:
            record = reply.record
            if record["id"] not in self.known:
                self._everyones.append(record["id"])
            self.known[record["id"]] = record

    def fetch(self, reply: Reply) -> None:
        """Fetch the images of a job."""
        if reply.is_done:
            record = reply.record
            for image, recorded in zip(record["images"], seen_images(record["images"]), strict=True):
                self.client.fetch_image(record["id"], image["url"], recorded)
