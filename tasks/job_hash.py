"""A job as the hash that the job store keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from tasks.job import Failure, Job, JobSpec, Progress, Result, Terms, Timings

JSON_FIELDS: Mapping[str, TypeAdapter[Any]] = {
    "spec": TypeAdapter(JobSpec),
    "terms": TypeAdapter(Terms),
    "progress": TypeAdapter(Progress),
    "timings": TypeAdapter(Timings),
    "error": TypeAdapter(Failure),
    "result": TypeAdapter(Result),
    "failed_on": TypeAdapter(tuple[str, ...]),
}


def flat(fields: Mapping[str, str]) -> list[str]:
    """Names and values in turn, as a script takes them."""
    return [part for pair in fields.items() for part in pair]


def datetime_of(seconds: str) -> datetime:
    """A time of the server's clock."""
    return datetime.fromtimestamp(float(seconds), UTC)


def job_of(job_id: str, fields: Mapping[str, str]) -> Job:
    """Build a job from its hash; a field that is not there yet keeps the model's default."""
    parsed: dict[str, object] = {}
    for name in ("status", "lane", "attempt", "claim", "given_back", "waits", "worker"):
        if name in fields:
            parsed[name] = fields[name]
    for name in ("created_at", "sent_at", "started_at", "finished_at"):
        if name in fields:
            parsed[name] = datetime_of(fields[name])
    for name, model in JSON_FIELDS.items():
        if name in fields:
            parsed[name] = model.validate_json(fields[name])
    return Job.model_validate({"id": job_id, **parsed})
