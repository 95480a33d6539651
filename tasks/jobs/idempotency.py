"""One job for one ``Idempotency-Key``, however often the request is sent."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from tasks.requests.job import JobRequest

KEEP_S = 86_400
"""Seconds after which a key may be used for another job."""


@dataclass(frozen=True)
class Idempotency:
    """The key under which a submission is known, and the digest of its request."""

    key: str
    """Digest of the client and of the key that it chose: keys of two clients never meet, and none is kept."""
    request: str
    """Digest of the validated request, so that spelling and left-out defaults do not count."""
    keep_s: int = KEEP_S
    """Seconds after which the key may be used for another job."""


def idempotency_of(request: JobRequest, key: str, owner: str | None) -> Idempotency:
    """The identity of a request that came with an ``Idempotency-Key``."""
    return Idempotency(key=digest(json.dumps([owner, key])), request=digest(request.model_dump_json(exclude_none=True)))


def idempotency_of_replay(job_id: str, key: str, owner: str | None) -> Idempotency:
    """The identity of a replay of this job that came with an ``Idempotency-Key``."""
    return Idempotency(key=digest(json.dumps([owner, key])), request=digest(json.dumps(["replay", job_id])))


def idempotency_of_retry(job_id: str, keep_s: int) -> Idempotency:
    """The identity of the retry of this job, of which there is one."""
    identity = digest(json.dumps(["retry", job_id, ""]))
    return Idempotency(key=identity, request=identity, keep_s=keep_s)


def digest(text: str) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
