"""The records of batches, from submission to expiry.

    stokehold:batch:<id>              hash    the batch
    stokehold:batches                 set     ids of batches that have not ended
    stokehold:batches:finished        sorted  ids of those that have, by the time of their end
    stokehold:batches:removing        set     ids of batches that are forgotten, whose objects are to be removed
    stokehold:batches:<owner>         sorted  ids of an owner's batches, by the time of creation
    stokehold:batch_keys:<digest>     hash    the first batch of an idempotency key, and the digest of its request

``tasks/batches/progress.py`` has the keys of its lines.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import cast

from tasks.batches.batch import Batch, BatchOptions, BatchStatus, sources
from tasks.batches.hash import batch_of, known_batches, stored
from tasks.batches.progress import parts_key
from tasks.errors import (
    BatchNotFound,
    IdempotencyConflict,
    InvalidRequest,
    LimitExceeded,
    StatusConflict,
    StorageUnavailable,
)
from tasks.fields import VERSION
from tasks.holdings import NO_LIMIT
from tasks.identifiers import MAX_CHARACTERS, is_identifier
from tasks.jobs.hash import flat
from tasks.jobs.idempotency import KEEP_S
from tasks.jobs.keyspace import BATCH, WEBHOOKS
from tasks.jobs.line_place import BATCHES, batch_key, cursors_key, ended_key, jobs_key
from tasks.objects.notes import NOTED, WRITING_S
from tasks.valkey import Valkey

ACTIVE = "stokehold:batches"
BATCH_ENDED_S = 30
"""Seconds after which one of many batches may have ended."""
FINISHED = "stokehold:batches:finished"
REMOVING = "stokehold:batches:removing"


class BatchStore:
    """The store of batches. Every step is atomic and may be repeated."""

    def __init__(self, valkey: Valkey, *, retention_s: int) -> None:
        self._valkey = valkey
        self._retention_s = retention_s
        self._transition = valkey.script("batches/transition")
        self._create = valkey.script("batches/create")
        self._forget = valkey.script("batches/forget")

    def create(
        self,
        batch_id: str,
        input_key: str,
        options: BatchOptions,
        request: str = "",
        key: str | None = None,
        *,
        most: int = NO_LIMIT,
    ) -> tuple[Batch, bool]:
        """Record a new batch and take its file, unless it was sent before; return the batch, and whether it is new.

        Args:
            input_key: of its file, which must be noted.
            request: digest of the file and of the options.
            key: where the batch of its idempotency key is kept, if it has one.
            most: number of unfinished batches that its owner may have.

        Raises:
            LimitExceeded: its owner has as many.
            IdempotencyConflict: the idempotency key, or the file, belongs to another request.
            StorageUnavailable: the file was removed before it was recorded.
        """
        fields = {"record_version": str(VERSION), "options": options.model_dump_json()}
        answer, known = self._create(
            keys=[batch_key(batch_id), ACTIVE, owner_key(options.owner), NOTED, key or batch_key(batch_id)],
            args=[batch_id, input_key, request, KEEP_S, BATCHES, most, *flat(fields)],
        )
        if answer == "conflict":
            raise another_request()
        if answer == "full":
            raise LimitExceeded(
                f"This key may have {most} batches that have not ended (waiting_batches). Wait until one has.",
                retry_after_s=BATCH_ENDED_S,
            )
        if answer == "gone":
            raise StorageUnavailable("The upload took too long, and its file was removed. Send it again.")
        return self.get(known), answer == "created"

    def first_of(self, key: str) -> tuple[Batch, str] | None:
        """Return the batch of an idempotency key and the digest of its request, if there is one."""
        first, digest = cast(list[str | None], self._valkey.hmget(key, "id", "digest"))
        try:
            return (self.get(first), digest or "") if first else None
        except BatchNotFound:
            return None

    def get(self, batch_id: str) -> Batch:
        """Return the present state of a batch.

        Raises:
            BatchNotFound: there is none, or it has expired.
        """
        fields = cast(dict[str, str], self._valkey.hgetall(batch_key(batch_id))) if is_identifier(batch_id) else {}
        if not fields:
            raise no_batch(batch_id)
        return batch_of(batch_id, fields)

    def existing(self, ids: Sequence[str]) -> list[Batch]:
        """Return the batches of these ids, in their order, without those that are gone or of a newer version."""
        with self._valkey.pipeline(transaction=False) as pipeline:
            for batch_id in ids:
                pipeline.hgetall(batch_key(batch_id))
            hashes = pipeline.execute()
        return known_batches(dict(zip(ids, hashes, strict=True)))

    def ids_of(self, owner: str | None, count: int, before: str | None = None) -> list[str]:
        """Return the ids of an owner's batches, newest first, ``count`` at most.

        Args:
            before: id of a batch of the owner, behind which to begin; None begins with the newest.

        Raises:
            InvalidRequest: the owner has no such batch.
        """
        place = -1 if before is None else cast(int | None, self._valkey.zrevrank(owner_key(owner), before))
        if place is None:
            raise InvalidRequest("before must be the next_before of the previous page, or left out.", field="before")
        return cast(list[str], self._valkey.zrevrange(owner_key(owner), place + 1, place + count))

    def active_ids(self) -> list[str]:
        """Return the ids of the batches that have not ended."""
        return sorted(cast(set[str], self._valkey.smembers(ACTIVE)))

    def active(self) -> list[Batch]:
        """Return the batches that have not ended, the oldest first."""
        return sorted(self.existing(self.active_ids()), key=lambda batch: batch.created_at)

    def remove_entry(self, batch_id: str) -> None:
        """Remove a batch that does not exist from those that have not ended."""
        self._valkey.srem(ACTIVE, batch_id)

    def transition(
        self,
        batch: Batch,
        target: BatchStatus,
        fields: Mapping[str, object] | None = None,
        *,
        takes: Sequence[str] = (),
        leaves: Sequence[str] = (),
    ) -> Batch:
        """Take a batch to another status, and return it.

        Args:
            batch: as it was read; if it has taken another step since, nothing happens.
            fields: what else changes.
            takes: keys of noted objects that it names from now on.
            leaves: keys of objects that it names no longer; they are removed after a while.

        Raises:
            BatchNotFound: there is none.
            StatusConflict: this status cannot follow its present one.
            StorageUnavailable: an object was removed before it was taken.
        """
        changes = {name: stored(value) for name, value in (fields or {}).items()}
        keys = [batch_key(batch.id), ACTIVE, FINISHED, cursors_key(batch.id, batch.plan), WEBHOOKS, NOTED]
        steps: list[str | int] = [
            batch.id,
            " ".join(sorted(sources(target))),
            target,
            uuid.uuid4().hex,
            int(target.is_terminal),
        ]
        objects: list[str | int] = [WRITING_S, len(takes), len(leaves), *takes, *leaves]
        answer = self._transition(keys=keys, args=[*steps, BATCH + batch.id, batch.step, *objects, *flat(changes)])
        match answer:
            case "refused":
                raise StatusConflict(
                    f"Batch {batch.id!r} cannot become {target} in its present status. Get the batch to see it."
                )
            case "changed":
                raise StatusConflict(
                    f"Batch {batch.id!r} has changed in the meantime. Get the batch to see its status."
                )
            case "gone":
                raise StorageUnavailable(f"Objects of batch {batch.id!r} were removed before they were recorded.")
        return self.get(batch.id)

    def expired(self, count: int) -> list[str]:
        """Return the ids of the ``count`` oldest batches that have been finished for longer than they are kept."""
        seconds, _ = self._valkey.time()
        return cast(
            list[str], self._valkey.zrangebyscore(FINISHED, "-inf", seconds - self._retention_s, start=0, num=count)
        )

    def forget(self, batch: Batch) -> bool:
        """Remove a finished batch's record, and note that its objects are to be removed.

        Returns:
            False if the batch has changed since it was read.
        """
        rest = [jobs_key(batch.id), ended_key(batch.id), parts_key(batch.id), cursors_key(batch.id, batch.plan)]
        keys = [batch_key(batch.id), FINISHED, owner_key(batch.options.owner), REMOVING, *rest]
        return bool(self._forget(keys=keys, args=[batch.id, batch.step]))

    def forget_entry(self, batch_id: str) -> None:
        """Forget a finished batch that has no record; its objects are to be removed."""
        with self._valkey.pipeline() as pipeline:
            pipeline.sadd(REMOVING, batch_id)
            pipeline.zrem(FINISHED, batch_id)
            pipeline.execute()

    def forgotten(self) -> list[str]:
        """Return the ids of forgotten batches whose objects are to be removed."""
        return sorted(cast(set[str], self._valkey.smembers(REMOVING)))

    def removed(self, batch_id: str) -> None:
        """Note that the objects of a forgotten batch are removed."""
        self._valkey.srem(REMOVING, batch_id)


def no_batch(batch_id: str) -> BatchNotFound:
    """Return the error for an id without a batch, or for a text that is not an id."""
    return BatchNotFound(f"There is no batch {batch_id[:MAX_CHARACTERS]!r}. It may have expired. Send its file again.")


def another_request() -> IdempotencyConflict:
    """Return the error for an idempotency key, or an upload, that belongs to another request."""
    return IdempotencyConflict(
        "This Idempotency-Key or upload was used with another file or other options. Send a new one with a "
        "new request; to get the first batch again, repeat its request unchanged."
    )


def owner_key(owner: str | None) -> str:
    """An owner's batches."""
    return f"stokehold:batches:{owner or ''}"


def request_key(owner: str | None, idempotency_key: str) -> str:
    """The batch of an idempotency key."""
    return f"stokehold:batch_keys:{hashlib.sha256(json.dumps([owner, idempotency_key]).encode()).hexdigest()}"
