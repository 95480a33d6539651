"""First stage of a job: bring its adapters into this machine's memory. On the job's own thread."""

from __future__ import annotations

from tasks.jobs.job import JobSpec
from workers.activity import Follower
from workers.adapters.cache import AdapterCache
from workers.swap.engine import AdapterSet, PreparedAdapter


def prepare(cache: AdapterCache, spec: JobSpec, follower: Follower) -> AdapterSet:
    """Fetch and parse a job's adapters, unless they are in memory.

    Args:
        follower: the job, or those that are drawn with it.

    Raises:
        AdapterFetchFailed: a file was removed or replaced.
        AdapterUnavailable: this machine cannot get or keep a file.
        AdapterLoadFailed: a file is broken or was made for another base model.
        LeaseLost, WorkerStopping: the follower does not want them any more.
    """
    prepared = []
    for scaled in spec.adapters:
        loaded = cache.get(scaled.adapter, follower)
        prepared.append(PreparedAdapter(scaled.adapter, scaled.scale, loaded.path, loaded.sha256, loaded.parsed))
    return tuple(prepared)
