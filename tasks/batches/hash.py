"""A batch as its hash in the store has it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, TypeAdapter, ValidationError

from tasks.batches.batch import Batch, BatchOptions, Forecast, LineError
from tasks.errors import RecordNotUnderstood
from tasks.fields import not_understood, understood
from tasks.jobs.hash import datetime_of
from tasks.jobs.result import Failure

JSON_FIELDS: Mapping[str, TypeAdapter[object]] = {
    "options": TypeAdapter(BatchOptions),
    "errors": TypeAdapter(tuple[LineError, ...]),
    "forecast": TypeAdapter(Forecast),
    "error": TypeAdapter(Failure),
}
TIMES = ("created_at", "started_at", "finished_at")


def known_batches(batches: Mapping[str, Mapping[str, str]]) -> list[Batch]:
    """The batches of these hashes, by id, without those that are gone or not understood: the latter the log names."""
    return understood(batch_of, {name: fields for name, fields in batches.items() if fields})


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
