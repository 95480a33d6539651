"""Senders of webhooks for tests, and ends to be told of."""

from __future__ import annotations

from typing import cast

from tasks.jobs.job import Job
from tasks.jobs.keyspace import WEBHOOKS
from tasks.processes import sender_of
from tasks.requests.job import JobRequest
from tasks.service import Service
from tasks.valkey import Valkey
from tasks.webhooks.sender import Post, Sender


def sender_through(service: Service, post: Post) -> Sender:
    """A sender of this service that sends in another way."""
    return Sender(
        service.webhook_ends,
        service.deliveries,
        service.webhook_secrets,
        service.webhook_notices,
        service.quarantine,
        post=post,
    )


def send_due(service: Service) -> None:
    """Let a sender send what is due now, and wait for it."""
    with sender_of(service) as sender:
        sender.round()


def ended(service: Service, url: str, owner: str | None = None) -> Job:
    """A job that was canceled and whose client wants to be told."""
    job = service.submissions.submit(JobRequest(prompt="a red circle", webhook_url=url), owner=owner)
    return service.store.cancel(job.id)


def pass_time(valkey: Valkey, seconds: float) -> None:
    """Let everything of the queue that waits for a time wait for one that much earlier."""
    for key in valkey.scan_iter(f"{WEBHOOKS}:*", _type="zset"):
        if key.split(":")[2] in ("lane", "lanes", "owners", "sending"):
            for member, score in cast(list[tuple[str, float]], valkey.zrange(key, 0, -1, withscores=True)):
                valkey.zadd(key, {member: score - seconds})
    for key in valkey.scan_iter(f"{WEBHOOKS}:circuit:*"):
        if closed := valkey.hget(key, "closed_until"):
            valkey.hset(key, "closed_until", str(float(closed) - seconds))
