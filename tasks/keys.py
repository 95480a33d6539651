"""API keys, their secrets and their limits.

    stokehold:keys    hash    id of a key -> the key as JSON, with a digest of its secret

A secret is 256 random bits, so that SHA-256 alone is enough: it is unguessable, and a slow hash as for passwords would
only slow every request. A revoked key stays, so that a service that had a key is never open to everyone again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import cast

from pydantic import Field, PositiveInt

from tasks.errors import ApiKeyNotFound
from tasks.fields import Stored, StoredRecord, read
from tasks.settings import Settings
from tasks.valkey import Valkey

KEYS = "stokehold:keys"
PREFIX = "stokehold"
"""Beginning of every secret, so that a leaked one is recognised."""


MAX_WEIGHT = 100


class KeyLimits(Stored):
    """The limits of a key."""

    requests_per_minute: PositiveInt
    queued_jobs: PositiveInt
    pixel_steps_per_day: PositiveInt = Field(description="pixels times steps of all images")
    held_responses: PositiveInt = Field(8, description="answers that wait for a job to end, in all processes")
    open_uploads: PositiveInt = Field(100, description="uploads that were begun and not used")
    stored_bytes: PositiveInt = Field(100 << 30, description="of adapters in storage, and of uploads begun")
    waiting_batches: PositiveInt = Field(100, description="batches that have not ended")


class ApiKey(StoredRecord):
    """A key, without its secret."""

    id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None = None
    limits: KeyLimits
    allow_private: bool = Field(
        False, description="may use private and gated adapters that the service's token can read"
    )
    weight: int = Field(1, ge=1, le=MAX_WEIGHT, description="its share of the workers, relative to other keys")
    digest: str = Field(repr=False, description="SHA-256 of the secret")


def default_limits(settings: Settings) -> KeyLimits:
    """Return the limits of a key without limits of its own."""
    return KeyLimits(
        requests_per_minute=settings.requests_per_minute,
        queued_jobs=settings.queued_jobs,
        pixel_steps_per_day=settings.pixel_steps_per_day,
        held_responses=settings.held_responses,
        open_uploads=settings.open_uploads,
        stored_bytes=settings.stored_bytes,
        waiting_batches=settings.waiting_batches,
    )


class ApiKeys:
    """The keys, in Valkey or Redis.

    Args:
        required: a key is needed even where there is none.
    """

    def __init__(self, valkey: Valkey, *, required: bool = False) -> None:
        self._valkey = valkey
        self._needed = required

    def create(
        self, name: str, limits: KeyLimits, *, allow_private: bool = False, weight: int = 1
    ) -> tuple[ApiKey, str]:
        """Make a key, and return it with its secret, which is not stored."""
        key_id = secrets.token_hex(6)
        secret = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
        key = ApiKey(
            id=key_id,
            name=name,
            created_at=datetime.now(UTC),
            limits=limits,
            allow_private=allow_private,
            weight=weight,
            digest=digest_of(secret),
        )
        self._put(key)
        return key, secret

    def list(self) -> list[ApiKey]:
        """Every key, the oldest first; those revoked too."""
        found = cast(dict[str, str], self._valkey.hgetall(KEYS))
        keys = [read(ApiKey, text, f"Key {key_id}") for key_id, text in found.items()]
        return sorted(keys, key=lambda key: key.created_at)

    def get(self, key_id: str) -> ApiKey:
        """The key of this id.

        Raises:
            ApiKeyNotFound: there is none.
        """
        found = cast(str | None, self._valkey.hget(KEYS, key_id))
        if found is None:
            raise ApiKeyNotFound(f"There is no key {key_id!r}; scripts/stokehold keys list shows the keys.")
        self._needed = True
        return read(ApiKey, found, f"Key {key_id}")

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key for good.

        Raises:
            ApiKeyNotFound: there is none.
        """
        key = self.get(key_id).model_copy(update={"revoked_at": datetime.now(UTC)})
        self._put(key)
        return key

    def find(self, secret: str) -> ApiKey | None:
        """The key that has this secret and is not revoked."""
        key_id = secret.removeprefix(f"{PREFIX}_").partition("_")[0]
        try:
            key = self.get(key_id)
        except ApiKeyNotFound:
            return None
        return key if hmac.compare_digest(key.digest, digest_of(secret)) and key.revoked_at is None else None

    def allow_private(self, key_id: str | None) -> bool:
        """Return whether the key of this id may use private and gated adapters now; without a key, not at all."""
        if key_id is None:
            return False
        try:
            key = self.get(key_id)
        except ApiKeyNotFound:
            return False
        return key.allow_private and key.revoked_at is None

    def weight(self, key_id: str | None) -> int:
        """The share in drawing of the key of this id; without a key all jobs have the same."""
        return 1 if key_id is None else self.get(key_id).weight

    def are_needed(self) -> bool:
        """Return whether a request needs a key: the settings require one, or there ever was one.

        That there was one is remembered: a server that comes back empty opens nothing.
        """
        self._needed = self._needed or bool(self._valkey.hlen(KEYS))
        return self._needed

    def require(self) -> None:
        """Require a key from now on."""
        self._needed = True

    def _put(self, key: ApiKey) -> None:
        self._valkey.hset(KEYS, key.id, key.model_dump_json())


def digest_of(secret: str) -> str:
    """Return the digest of a secret, which is stored in its place."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
