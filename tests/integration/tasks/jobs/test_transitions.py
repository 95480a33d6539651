"""The job store takes every step that the table allows, and no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import LeaseLost, StatusConflict
from tasks.jobs.job import TRANSITIONS, Job, Status
from tasks.jobs.keyspace import list_key
from tasks.jobs.recorder import JobRecorder
from tasks.jobs.result import Failure, Result, Timings
from tasks.jobs.store import JobStore
from tasks.valkey import Valkey
from tests.support.jobs import SPEC, recorded

STEPS: Mapping[Status, Callable[[JobStore, Job], object]] = MappingProxyType(
    {
        Status.QUEUED: lambda store, job: store.requeue(job),
        Status.RUNNING: lambda store, job: store.claim(job.id, "w1"),
        Status.SUCCEEDED: lambda store, job: store.succeed(job, Result(images=()), Timings()),
        Status.FAILED: lambda store, job: store.fail(job, Failure(code="failed", message="It failed.")),
        Status.CANCELED: lambda store, job: store.cancel(job.id),
    }
)


def asked_for(store: JobStore, job_id: str, target: Status) -> None:
    """Ask for a step; a refusal says so by an error, or in a claim by giving nothing."""
    try:
        STEPS[target](store, store.get(job_id))
    except (LeaseLost, StatusConflict):
        return


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(targets=st.lists(st.sampled_from(Status), max_size=8))
def test_a_job_moves_along_the_table_alone(valkey: Valkey, targets: list[Status]) -> None:
    valkey.flushall()
    store = JobStore(valkey, lease_s=60)
    expected = recorded(JobRecorder(valkey, new_id=lambda: "job"), SPEC).status

    for target in targets:
        asked_for(store, "job", target)
        if target in TRANSITIONS[expected]:
            expected = target

        assert store.get("job").status is expected
        listed = {status for status in Status if valkey.zcard(list_key(None, status))}
        assert listed == {expected}
