"""The batches: where each stands, and what has come of its lines.

    stokehold:batch:<id>              hash    the batch
    stokehold:batch:<id>:parts        list    keys of the parts of its results in storage, in the order of writing
    stokehold:batches                 set     ids of batches that are not at an end
    stokehold:batches:finished        sorted  ids of those that are, by the time at which they came there
    stokehold:batches:removing        set     ids of batches that are forgotten, whose objects are to be removed
    stokehold:batches:<owner>         sorted  ids of an owner's batches, by the time of creation
    stokehold:batch_keys:<digest>     hash    the first batch of an idempotency key, and the digest of its request

``tasks/jobs/line_place.py`` has what is kept of its lines.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from tasks.batches.batch import Batch, BatchOptions, BatchStatus, Forecast, LineError, sources
from tasks.errors import (
    BatchNotFound,
    IdempotencyConflict,
    LimitExceeded,
    RecordNotUnderstood,
    StatusConflict,
    StorageUnavailable,
)
from tasks.fields import VERSION, not_understood
from tasks.holdings import NO_LIMIT
from tasks.identifiers import MAX_CHARACTERS, is_identifier
from tasks.jobs.hash import datetime_of, flat
from tasks.jobs.idempotency import KEEP_S
from tasks.jobs.job import Status
from tasks.jobs.keyspace import BATCH, JOB, WEBHOOKS, job_key
from tasks.jobs.line_place import BATCHES, batch_key, cursors_key, ended_key, jobs_key
from tasks.jobs.result import Failure
from tasks.objects.notes import UNTAKEN, WRITING_S
from tasks.valkey import Valkey

logger = logging.getLogger(__name__)

ACTIVE = "stokehold:batches"
BATCH_ENDED_S = 30
"""After which one of many batches may have ended."""
FINISHED = "stokehold:batches:finished"
REMOVING = "stokehold:batches:removing"

JSON_FIELDS: Mapping[str, TypeAdapter[object]] = {
    "options": TypeAdapter(BatchOptions),
    "errors": TypeAdapter(tuple[LineError, ...]),
    "forecast": TypeAdapter(Forecast),
    "error": TypeAdapter(Failure),
}
TIMES = ("created_at", "started_at", "finished_at")


class BatchStore:
    """Batches, from accepted to expired. Every step is atomic and may be asked for twice."""

    def __init__(self, valkey: Valkey, *, retention_s: int) -> None:
        self._valkey = valkey
        self._retention_s = retention_s
        self._transition = valkey.script("batches/transition")
        self._settle = valkey.script("batches/settle")
        self._create = valkey.script("batches/create")
        self._pass = valkey.script("batches/pass")
        self._lose = valkey.script("batches/lose")
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
        """Record a new batch and take its file, unless it was sent before; the batch, and whether it is new.

        Args:
            input_key: of its file, which must be noted.
            request: digest of the file and of the terms.
            key: where the batch of its idempotency key is kept, if it has one.
            most: batches that its owner may have under way.

        Raises:
            LimitExceeded: its owner has as many.
            IdempotencyConflict: the idempotency key, or the file, belongs to another request.
            StorageUnavailable: the file was removed before it was recorded.
        """
        fields = {"record_version": str(VERSION), "options": options.model_dump_json()}
        answer, known = self._create(
            keys=[batch_key(batch_id), ACTIVE, owner_key(options.owner), UNTAKEN, key or batch_key(batch_id)],
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
            raise StorageUnavailable("The file took too long to come in, and was removed.")
        return self.get(known), answer == "created"

    def first_of(self, key: str) -> tuple[Batch, str] | None:
        """The batch of an idempotency key and the digest of its request, if there is one."""
        first, digest = cast(list[str | None], self._valkey.hmget(key, "id", "digest"))
        try:
            return (self.get(first), digest or "") if first else None
        except BatchNotFound:
            return None

    def get(self, batch_id: str) -> Batch:
        """The batch as it stands now.

        Raises:
            BatchNotFound: there is none, or it has expired.
        """
        fields = cast(dict[str, str], self._valkey.hgetall(batch_key(batch_id))) if is_identifier(batch_id) else {}
        if not fields:
            raise no_batch(batch_id)
        return batch_of(batch_id, fields)

    def existing(self, ids: Sequence[str]) -> list[Batch]:
        """The batches of these ids, in their order, without those that are gone or of a newer version."""
        with self._valkey.pipeline(transaction=False) as pipeline:
            for batch_id in ids:
                pipeline.hgetall(batch_key(batch_id))
            hashes = pipeline.execute()
        return known_batches(dict(zip(ids, hashes, strict=True)))

    def active_ids(self) -> list[str]:
        """Ids of the batches that are not at an end."""
        return sorted(cast(set[str], self._valkey.smembers(ACTIVE)))

    def active(self) -> list[Batch]:
        """The batches that are not at an end, the oldest first."""
        return sorted(self.existing(self.active_ids()), key=lambda batch: batch.created_at)

    def remove_entry(self, batch_id: str) -> None:
        """Remove a batch that does not exist from those that are not at an end."""
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
        """Take a batch to another status; the batch there.

        Args:
            batch: as it was read; if it has taken another step since, nothing happens.
            fields: what else changes.
            takes: keys of noted objects that it names from now on.
            leaves: keys of objects that it names no longer; they are removed after a while.

        Raises:
            BatchNotFound: there is none.
            StatusConflict: it is not where this step leads from.
            StorageUnavailable: an object was removed before it was taken.
        """
        changes = {name: stored(value) for name, value in (fields or {}).items()}
        keys = [batch_key(batch.id), ACTIVE, FINISHED, cursors_key(batch.id, batch.plan), WEBHOOKS, UNTAKEN]
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
                    f"Batch {batch.id!r} cannot become {target} from where it stands. Ask where that is."
                )
            case "changed":
                raise StatusConflict(f"Batch {batch.id!r} has moved on meanwhile. Ask where it stands.")
            case "gone":
                raise StorageUnavailable(f"Objects of batch {batch.id!r} were removed before they were recorded.")
        return self.get(batch.id)

    def settle(self, batch: Batch, part: str, ids: Sequence[str], counts: Mapping[str, float]) -> bool:
        """Count jobs whose results are in a noted part in storage, and take it; whether nothing else has done so."""
        keys = [batch_key(batch.id), ended_key(batch.id), jobs_key(batch.id), _parts(batch.id), UNTAKEN]
        numbers = {name: str(number) for name, number in counts.items()}
        return bool(self._settle(keys=keys, args=[part, len(ids), len(numbers), *flat(numbers), *ids]))

    def ended(self, batch: Batch, count: int) -> list[str]:
        """Ids of jobs that have ended and are not settled, the ``count`` first."""
        return cast(list[str], self._valkey.lrange(ended_key(batch.id), 0, count - 1))

    def jobs(self, batch: Batch) -> set[str]:
        """Ids of its jobs that are not settled."""
        return cast(set[str], self._valkey.smembers(jobs_key(batch.id)))

    def statuses(self, batch: Batch) -> list[Status]:
        """Where its jobs stand that are not settled."""
        with self._valkey.pipeline(transaction=False) as pipeline:
            for job_id in self.jobs(batch):
                pipeline.hget(job_key(job_id), "status")
            return [Status(status) for status in pipeline.execute() if status in tuple(Status)]

    def parts(self, batch: Batch) -> list[str]:
        """Keys of the parts of its results, in the order of writing."""
        return cast(list[str], self._valkey.lrange(_parts(batch.id), 0, -1))

    def lose(self, batch: Batch) -> None:
        """Let the batch wait no longer for jobs that have no record any more."""
        if ids := sorted(self.jobs(batch)):
            self._lose(keys=[ended_key(batch.id), jobs_key(batch.id)], args=[JOB, *ids])

    def cursors(self, batch: Batch) -> dict[str, str]:
        """How far the groups of its plan have become jobs."""
        return cast(dict[str, str], self._valkey.hgetall(cursors_key(batch.id, batch.plan)))

    def pass_groups(self, batch: Batch, first: int, done: Sequence[int]) -> None:
        """Note that all groups before ``first`` are done; what is known of each of these is no longer needed."""
        self._pass(keys=[batch_key(batch.id), cursors_key(batch.id, batch.plan)], args=[batch.plan or "", first, *done])

    def expired(self, count: int) -> list[str]:
        """Ids of the batches that have been finished for longer than they are kept, the ``count`` oldest."""
        seconds, _ = self._valkey.time()
        return cast(
            list[str], self._valkey.zrangebyscore(FINISHED, "-inf", seconds - self._retention_s, start=0, num=count)
        )

    def forget(self, batch: Batch) -> bool:
        """Remove a finished batch's record, and note that its objects are to be removed; whether it was still so."""
        rest = [jobs_key(batch.id), ended_key(batch.id), _parts(batch.id), cursors_key(batch.id, batch.plan)]
        keys = [batch_key(batch.id), FINISHED, owner_key(batch.options.owner), REMOVING, *rest]
        return bool(self._forget(keys=keys, args=[batch.id, batch.step]))

    def forget_entry(self, batch_id: str) -> None:
        """Forget a finished batch that has no record; its objects are to be removed."""
        with self._valkey.pipeline() as pipeline:
            pipeline.sadd(REMOVING, batch_id)
            pipeline.zrem(FINISHED, batch_id)
            pipeline.execute()

    def forgotten(self) -> list[str]:
        """Ids of batches whose objects are to be removed."""
        return sorted(cast(set[str], self._valkey.smembers(REMOVING)))

    def removed(self, batch_id: str) -> None:
        """Note that the objects of a forgotten batch are removed."""
        self._valkey.srem(REMOVING, batch_id)


def known_batches(batches: Mapping[str, Mapping[str, str]]) -> list[Batch]:
    """The batches of these hashes, by id, without those that are gone or not understood: the latter the log names."""
    found: list[Batch] = []
    for batch_id, fields in batches.items():
        try:
            if fields:
                found.append(batch_of(batch_id, fields))
        except RecordNotUnderstood as error:
            logger.error("%s", error)
    return found


def no_batch(batch_id: str) -> BatchNotFound:
    """The error that says so, of whatever came instead of an id."""
    return BatchNotFound(f"There is no batch {batch_id[:MAX_CHARACTERS]!r}. It may have expired; send its file again.")


def batch_of(batch_id: str, fields: Mapping[str, str]) -> Batch:
    """Build a batch from its hash; a field that is not there yet keeps the model's default.

    Raises:
        RecordNotUnderstood: a newer version wrote it, or it is damaged.
    """
    try:
        return parsed_batch(batch_id, fields)
    except (ValidationError, RecordNotUnderstood) as error:
        raise not_understood(f"Batch {batch_id}", error) from error


def parsed_batch(batch_id: str, fields: Mapping[str, str]) -> Batch:
    """Build a batch from its hash.

    Raises:
        RecordNotUnderstood: its version is a newer one.
        ValidationError: a field has a value that is unknown here.
    """
    parsed: dict[str, object] = {name: value for name, value in fields.items() if name in Batch.model_fields}
    for name in TIMES:
        if name in fields:
            parsed[name] = datetime_of(fields[name])
    for name, model in JSON_FIELDS.items():
        parsed.pop(name, None)
        if fields.get(name):
            parsed[name] = model.validate_json(fields[name])
    return Batch.model_validate({"id": batch_id, **parsed})


def stored(value: object) -> str:
    """A value as the hash has it."""
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if isinstance(value, tuple):
        return TypeAdapter(tuple[LineError, ...]).dump_json(value).decode()
    return str(value)


def another_request() -> IdempotencyConflict:
    """The refusal of an idempotency key, or of an upload, that belongs to another request."""
    return IdempotencyConflict(
        "This Idempotency-Key or upload was used with another file or other options. Send a new one with a "
        "new request; to get the first batch again, send its request unchanged."
    )


def owner_key(owner: str | None) -> str:
    """An owner's batches."""
    return f"stokehold:batches:{owner or ''}"


def _parts(batch_id: str) -> str:
    return f"{batch_key(batch_id)}:parts"
