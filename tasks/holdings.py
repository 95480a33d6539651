"""Shared resources that API keys hold: responses that wait for a job, open uploads, bytes in storage.

stokehold:held:<kind>:<owner>           sorted  ids of what a key holds, by the time at which each is released
stokehold:held:<kind>:<owner>:amounts   hash    bytes that each of them takes
stokehold:stored:<owner>                hash    key of an adapter's file in storage -> bytes
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from tasks.errors import LimitExceeded
from tasks.identifiers import identifier
from tasks.keys import ApiKey
from tasks.valkey import Valkey

OPEN_UPLOAD = "stokehold:client_upload:"
"""Beginning of the keys of open uploads: an upload counts for as long as its key exists."""
NO_LIMIT = 1 << 53
"""The limits of a service that needs no key: the largest number that Lua counts to exactly."""
HOLD_AGAIN_S = 5
"""Seconds after which a held response may have been sent."""
MADE_ROOM_S = 60
"""Seconds after which an owner may have removed something."""


class Holdings:
    """The resources that keys hold. Every step is atomic; those of a dead process are released in time."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._hold = valkey.script("hold")

    @contextmanager
    def response(self, key: ApiKey | None, seconds: float) -> Iterator[None]:
        """Hold a response within this block, for at most this many seconds.

        Raises:
            LimitExceeded: the key holds as many as it may.
        """
        if key is None:
            yield
            return
        responses, response, most = held_keys("response", key.id), uuid4().hex, key.limits.held_responses
        if self._hold(keys=[*responses, responses[1]], args=[response, int(seconds) + 1, most, 0, 0, ""]) != "ok":
            raise LimitExceeded(
                f"This key may have {most} waiting requests at a time (held_responses). Wait for one of them to end, "
                "or submit with POST /v1/jobs and poll.",
                retry_after_s=HOLD_AGAIN_S,
            )
        try:
            yield
        finally:
            self._release(responses, response)

    def upload(self, key: ApiKey | None, upload_id: str, size_bytes: int, seconds: float) -> None:
        """Count an open upload that has been recorded, for as long as it is open.

        Raises:
            LimitExceeded: the key has as many, or its files would have more bytes than they may.
        """
        if key is None:
            return
        uploads, most, max_bytes = held_keys("upload", key.id), key.limits.open_uploads, key.limits.stored_bytes
        counted = (int(seconds) + 1, most, size_bytes, max_bytes)
        match self._hold(keys=[*uploads, stored_key(key.id)], args=[upload_id, *counted, OPEN_UPLOAD]):
            case "many":
                raise LimitExceeded(
                    f"This key may have {most} open uploads at a time (open_uploads). Use one of them, or wait "
                    "until one has expired.",
                    retry_after_s=MADE_ROOM_S,
                )
            case "much":
                raise too_many_bytes(max_bytes)

    def _release(self, keys: tuple[str, str], holding: str) -> None:
        with self._valkey.pipeline() as pipeline:
            pipeline.zrem(keys[0], holding)
            pipeline.hdel(keys[1], holding)
            pipeline.execute()


def too_many_bytes(most: int) -> LimitExceeded:
    """Return the error for a file that has no room among those of its owner."""
    return LimitExceeded(
        f"The files of this key may have {most} bytes, open uploads included (stored_bytes). Remove an adapter.",
        retry_after_s=MADE_ROOM_S,
    )


def held_keys(kind: str, owner: str) -> tuple[str, str]:
    """Return the keys of the resources of a kind that an API key holds, and of their sizes."""
    held = f"stokehold:held:{kind}:{identifier(owner)}"
    return held, f"{held}:amounts"


def stored_key(owner: str | None) -> str:
    """Return the key of the sizes of an owner's adapters."""
    return f"stokehold:stored:{owner or ''}"
