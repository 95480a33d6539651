"""A job as the hash that the job store keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.errors import RecordNotUnderstood
from tasks.fields import not_understood, understood
from tasks.jobs.job import Job, JobOptions, JobSpec, Progress
from tasks.jobs.result import Failure, Result, Timings

JSON_FIELDS: Mapping[str, TypeAdapter[Any]] = {
    "spec": TypeAdapter(JobSpec),
    "options": TypeAdapter(JobOptions),
    "progress": TypeAdapter(Progress),
    "timings": TypeAdapter(Timings),
    "error": TypeAdapter(Failure),
    "result": TypeAdapter(Result),
    "failed_on": TypeAdapter(tuple[str, ...]),
}


def flat(fields: Mapping[str, str]) -> list[str]:
    """Names and values in turn, as a script takes them."""
    return [part for pair in fields.items() for part in pair]


def known_jobs(jobs: Mapping[str, Mapping[str, str]]) -> list[Job]:
    """The jobs of these hashes, by id, without those that are gone or not understood: the latter the log names."""
    return understood(job_of, {name: fields for name, fields in jobs.items() if fields})


def datetime_of(seconds: str) -> datetime:
    """A time of the server's clock."""
    return datetime.fromtimestamp(float(seconds), UTC)


def job_of(job_id: str, fields: Mapping[str, str]) -> Job:
    """Build a job from its hash; a field that is not there yet keeps the model's default.

    Raises:
        RecordNotUnderstood: a newer version wrote it, or it is damaged.
    """
    try:
        return parsed_job(job_id, fields)
    except (ValidationError, RecordNotUnderstood) as error:
        raise not_understood(f"Job {job_id}", error) from error


def parsed_job(job_id: str, fields: Mapping[str, str]) -> Job:
    """Build a job from its hash.

    Raises:
        RecordNotUnderstood: its version is a newer one.
        ValidationError: a field has a value that is unknown here.
    """
    parsed: dict[str, object] = {}
    for name in ("record_version", "status", "lane", "attempt", "claim", "uncounted", "waits", "worker"):
        if name in fields:
            parsed[name] = fields[name]
    for name in ("created_at", "sent_at", "started_at", "finished_at"):
        if name in fields:
            parsed[name] = datetime_of(fields[name])
    for name, model in JSON_FIELDS.items():
        if name in fields:
            parsed[name] = model.validate_json(fields[name])
    return Job.model_validate({"id": job_id, **parsed})
