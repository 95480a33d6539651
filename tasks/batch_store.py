"""The batches: where each stands, and what has come of its lines.

    stokehold:batch:<id>              hash    the batch
    stokehold:batch:<id>:parts        list    keys of the parts of its results in storage, in the order of writing
    stokehold:batches                 set     ids of batches that are not at an end
    stokehold:batches:finished        sorted  ids of those that are, by the time at which they came there
    stokehold:batches:<owner>         sorted  ids of an owner's batches, by the time of creation

``tasks/batch_place.py`` has what is kept of its lines.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from tasks.batch import Batch, BatchStatus, BatchTerms, Forecast, LineError, sources
from tasks.batch_place import cursors_key, ended_key, jobs_key
from tasks.broker import Broker
from tasks.errors import BatchNotFound, RecordNotUnderstood, StatusConflict
from tasks.frozen import VERSION, not_understood
from tasks.identifiers import MAX_CHARACTERS, identifier, is_identifier
from tasks.job import Failure, Status
from tasks.job_hash import datetime_of, flat
from tasks.job_keys import BATCH, WEBHOOKS, job_key

logger = logging.getLogger(__name__)

ACTIVE = "stokehold:batches"
FINISHED = "stokehold:batches:finished"

JSON_FIELDS: Mapping[str, TypeAdapter[object]] = {
    "terms": TypeAdapter(BatchTerms),
    "errors": TypeAdapter(tuple[LineError, ...]),
    "forecast": TypeAdapter(Forecast),
    "error": TypeAdapter(Failure),
}
TIMES = ("created_at", "started_at", "finished_at")


class BatchStore:
    """Batches, from accepted to expired. Every step is atomic and may be asked for twice."""

    def __init__(self, broker: Broker, *, retention_s: int) -> None:
        self._broker = broker
        self._retention_s = retention_s
        self._move = broker.script("batch_move")
        self._settle = broker.script("batch_settle")

    def create(self, batch_id: str, input_key: str, terms: BatchTerms) -> Batch:
        """Record a new batch whose file is in storage."""
        seconds, microseconds = self._broker.time()
        created = f"{seconds + microseconds / 1e6:.6f}"
        status = BatchStatus.VALIDATING.value
        fields = [
            "record_version",
            str(VERSION),
            "status",
            status,
            "input",
            input_key,
            "terms",
            terms.model_dump_json(),
            "created_at",
            created,
        ]
        with self._broker.pipeline() as pipeline:
            pipeline.hset(batch_key(batch_id), items=fields)
            pipeline.sadd(ACTIVE, batch_id)
            pipeline.zadd(owner_key(terms.owner), {batch_id: float(created)})
            pipeline.execute()
        return self.get(batch_id)

    def get(self, batch_id: str) -> Batch:
        """The batch as it stands now.

        Raises:
            BatchNotFound: there is none, or it has expired.
        """
        fields = cast(dict[str, str], self._broker.hgetall(batch_key(batch_id))) if is_identifier(batch_id) else {}
        if not fields:
            raise no_batch(batch_id)
        return batch_of(batch_id, fields)

    def existing(self, ids: Sequence[str]) -> list[Batch]:
        """The batches of these ids, in their order, without those that are gone or of a newer version."""
        with self._broker.pipeline(transaction=False) as pipeline:
            for batch_id in ids:
                pipeline.hgetall(batch_key(batch_id))
            hashes = pipeline.execute()
        return known_batches(dict(zip(ids, hashes, strict=True)))

    def active(self) -> list[Batch]:
        """The batches that are not at an end, the oldest first."""
        ids = cast(set[str], self._broker.smembers(ACTIVE))
        return sorted(self.existing(sorted(ids)), key=lambda batch: batch.created_at)

    def move(self, batch: Batch, target: BatchStatus, fields: Mapping[str, object] | None = None) -> Batch:
        """Take a batch to another status; the batch there.

        Args:
            fields: what else changes.

        Raises:
            BatchNotFound: there is none.
            StatusConflict: it is not where this step leads from.
        """
        changes = {name: stored(value) for name, value in (fields or {}).items()}
        answer = self._move(
            keys=[batch_key(batch.id), ACTIVE, FINISHED, cursors_key(batch.id, batch.generation), WEBHOOKS],
            args=[
                batch.id,
                " ".join(sorted(sources(target))),
                target,
                uuid.uuid4().hex,
                int(target.is_terminal),
                BATCH + batch.id,
                *flat(changes),
            ],
        )
        if answer == "refused":
            raise StatusConflict(f"Batch {batch.id!r} cannot become {target} from where it stands. Ask where that is.")
        return self.get(batch.id)

    def settle(self, batch: Batch, part: str, ids: Sequence[str], counts: Mapping[str, float]) -> bool:
        """Count jobs whose results are in a part in storage; whether nobody else has done so."""
        keys = [batch_key(batch.id), ended_key(batch.id), jobs_key(batch.id), _parts(batch.id)]
        numbers = {name: str(number) for name, number in counts.items()}
        return bool(self._settle(keys=keys, args=[part, len(ids), len(numbers), *flat(numbers), *ids]))

    def ended(self, batch: Batch, count: int) -> list[str]:
        """Ids of jobs that have ended and are not settled, the ``count`` first."""
        return cast(list[str], self._broker.lrange(ended_key(batch.id), 0, count - 1))

    def jobs(self, batch: Batch) -> set[str]:
        """Ids of its jobs that are not settled."""
        return cast(set[str], self._broker.smembers(jobs_key(batch.id)))

    def statuses(self, batch: Batch) -> list[Status]:
        """Where its jobs stand that are not settled."""
        with self._broker.pipeline(transaction=False) as pipeline:
            for job_id in self.jobs(batch):
                pipeline.hget(job_key(job_id), "status")
            return [Status(status) for status in pipeline.execute() if status in tuple(Status)]

    def parts(self, batch: Batch) -> list[str]:
        """Keys of the parts of its results, in the order of writing."""
        return cast(list[str], self._broker.lrange(_parts(batch.id), 0, -1))

    def cursors(self, batch: Batch) -> dict[str, str]:
        """How far the groups of its plan have become jobs."""
        return cast(dict[str, str], self._broker.hgetall(cursors_key(batch.id, batch.generation)))

    def pass_groups(self, batch: Batch, first: int, done: Sequence[int]) -> None:
        """Note that all groups before ``first`` are done; what is known of each of these is no longer needed."""
        cursors = cursors_key(batch.id, batch.generation)
        with self._broker.pipeline() as pipeline:
            pipeline.hset(cursors, "first", str(first))
            pipeline.hdel(cursors, *map(str, done))
            pipeline.execute()

    def expired(self, count: int) -> list[Batch]:
        """Of the batches that have been finished for longer than they are kept, the ``count`` oldest."""
        seconds, _ = self._broker.time()
        ids = self._broker.zrangebyscore(FINISHED, "-inf", seconds - self._retention_s, start=0, num=count)
        return self.existing(cast(list[str], ids))

    def forget(self, batch: Batch) -> None:
        """Remove a finished batch's record. Its objects must be gone before."""
        cursors = [cursors_key(batch.id, generation) for generation in range(batch.generation + 1)]
        with self._broker.pipeline() as pipeline:
            pipeline.zrem(owner_key(batch.terms.owner), batch.id)
            pipeline.delete(batch_key(batch.id), jobs_key(batch.id), ended_key(batch.id), _parts(batch.id), *cursors)
            pipeline.zrem(FINISHED, batch.id)
            pipeline.execute()


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
        if name in fields:
            parsed[name] = model.validate_json(fields[name])
    return Batch.model_validate({"id": batch_id, **parsed})


def stored(value: object) -> str:
    """A value as the hash has it."""
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if isinstance(value, tuple):
        return TypeAdapter(tuple[LineError, ...]).dump_json(value).decode()
    return str(value)


def owner_key(owner: str | None) -> str:
    """An owner's batches."""
    return f"stokehold:batches:{owner or ''}"


def batch_key(batch_id: str) -> str:
    """A batch."""
    return f"stokehold:batch:{identifier(batch_id)}"


def _parts(batch_id: str) -> str:
    return f"{batch_key(batch_id)}:parts"
