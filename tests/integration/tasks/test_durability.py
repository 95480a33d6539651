"""The durability that is required of a Valkey server, and the moment from which something counts as accepted."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from typing import cast

import pytest

from tasks.durability import MARK, Durability
from tasks.errors import ConfigurationError, ValkeyUnavailable
from tasks.jobs.index import JobIndex
from tasks.jobs.job import Lane, Status
from tasks.jobs.recorder import JobRecorder
from tasks.jobs.result import Result, Timings
from tasks.jobs.store import JobStore
from tasks.lanes.backfill_lane import BackfillLane
from tasks.lanes.interactive_lane import InteractiveLane
from tasks.lanes.worker_registry import WorkerRegistry
from tasks.settings import AcceptedWhen
from tasks.valkey import Valkey, connect
from tests.support.jobs import SPEC, recorded


@pytest.fixture
def changed(valkey: Valkey) -> Iterator[Valkey]:
    """A server whose configuration a test may change."""
    kept = cast(dict[str, str], valkey.config_get("maxmemory-policy") | valkey.config_get("appendonly"))
    yield valkey
    for name, value in kept.items():
        valkey.config_set(name, value)
    valkey.acl_deluser("stoke")


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_a_server_that_evicts_keys_is_refused(changed: Valkey, policy: str) -> None:
    changed.config_set("maxmemory-policy", policy)

    with pytest.raises(ConfigurationError, match=f"maxmemory-policy {policy}.*Set maxmemory-policy noeviction"):
        Durability(changed, AcceptedWhen.RECORDED).check_server()


def test_a_server_with_an_append_only_file_is_taken_without_a_word(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    Durability(valkey, AcceptedWhen.ON_DISK).check_server()

    assert caplog.records == []


def test_a_server_that_keeps_all_in_memory_is_warned_of(changed: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    changed.config_set("appendonly", "no")

    Durability(changed, AcceptedWhen.RECORDED).check_server()

    assert "keeps accepted jobs in memory alone" in caplog.text


def test_a_server_without_the_durability_is_refused_at_the_start(changed: Valkey) -> None:
    changed.config_set("appendonly", "no")

    with pytest.raises(ConfigurationError, match="STOKEHOLD_ACCEPTED_WHEN=on_disk is not available"):
        Durability(changed, AcceptedWhen.ON_DISK).check_server()


def test_a_server_that_says_nothing_of_itself_is_warned_of(
    changed: Valkey, valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    changed.acl_setuser("stoke", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-info", "-config"])

    with connect(valkey_url.replace("//", "//stoke:pw@")) as valkey:
        Durability(valkey, AcceptedWhen.RECORDED).check_server()

    assert "INFO is not permitted" in caplog.text


def test_what_is_accepted_on_disk_is_waited_for(valkey: Valkey) -> None:
    Durability(valkey, AcceptedWhen.ON_DISK).confirm()

    assert valkey.exists(MARK)


def test_what_no_replica_has_is_not_accepted(valkey: Valkey) -> None:
    with pytest.raises(ValkeyUnavailable, match="Send it again with the same Idempotency-Key"):
        Durability(valkey, AcceptedWhen.ON_REPLICA).confirm()


def test_what_is_accepted_when_recorded_waits_for_nothing(valkey: Valkey) -> None:
    Durability(valkey, AcceptedWhen.RECORDED).confirm()

    assert not valkey.exists(MARK)


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tasks.durability")


def test_a_user_may_be_bound_to_the_keys_of_this_service(changed: Valkey, valkey_url: str) -> None:
    changed.acl_setuser(
        "stoke",
        enabled=True,
        passwords=["+pw"],
        keys=["stokehold:*"],
        channels=["stokehold:*"],
        commands=["+@all", "-@admin", "-@dangerous", "+info"],
    )

    with connect(valkey_url.replace("//", "//stoke:pw@")) as valkey:
        store, index = JobStore(valkey, lease_s=60), JobIndex(valkey, retention_s=60)
        recorder = JobRecorder(valkey, new_id=lambda: uuid.uuid4().hex)
        workers = WorkerRegistry(valkey, forget_after_s=60)
        interactive, backfill = InteractiveLane(valkey, store, workers), BackfillLane(valkey, store, workers)
        recorded(recorder, SPEC)
        first = interactive.claim("demo", "worker")
        recorded(recorder, SPEC, Lane.BACKFILL)
        (second,) = backfill.claim("demo", "worker")
        for job in (first, second):
            assert job is not None
            store.renew(job.lease)
            store.succeed(job, Result(images=()), Timings())
            assert store.get(job.id).status is Status.SUCCEEDED
        assert index.lapsed(10) == index.unsent(0, 10) == []
