"""First stage of a job: bring its adapters to this machine. Runs without the pipeline's lock."""

from __future__ import annotations

from tasks.job import JobSpec
from tasks.service import Service
from workers.adapter_files import fetch
from workers.merge_engine import AdapterSet, PreparedAdapter


def prepare(service: Service, spec: JobSpec) -> AdapterSet:
    """Fetch the files of a job's adapters.

    Raises:
        AdapterFetchFailed: a file cannot be had.
    """
    return tuple(
        PreparedAdapter(scaled.adapter, fetch(scaled.adapter, service.adapter_folders), scaled.scale)
        for scaled in spec.adapters
    )
