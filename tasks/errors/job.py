"""Errors that end a job. Code and message are the record's ``error``."""

from __future__ import annotations

from tasks.errors.root import StokeholdError


class JobFailed(StokeholdError):
    """This job cannot be finished; the worker goes on with the next."""

    code = "failed"
    title = "The job failed"


class AdapterFetchFailed(JobFailed):
    """The adapter's file could not be fetched."""

    code = "adapter_fetch_failed"


class AdapterLoadFailed(JobFailed):
    """The adapter's file was fetched and cannot be merged into the base model."""

    code = "adapter_load_failed"


class AdapterWithoutEffect(AdapterLoadFailed):
    """Nothing in the adapter's file has a place in the base model."""

    code = "adapter_without_effect"


class DeadlineExceeded(JobFailed):
    """The job did not begin in the time that its client gave it."""

    code = "deadline_exceeded"


class DrawingFailed(JobFailed):
    """The pipeline cannot draw what the request asks for."""

    code = "drawing_failed"


class OutOfMemory(JobFailed):
    """The device has too little memory for this job."""

    code = "out_of_memory"


class WorkerLost(JobFailed):
    """Every attempt ended with the worker gone."""

    code = "worker_lost"
