"""The faults of a soak do what their names say, and undo it."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.folder import StackFolder
from stack.history.event import Kind
from stack.history.recorder import Recorder, read_history
from stack.part import Part
from stack.parts import Parts
from stack.soak.faults import Faults
from stack.soak.part_faults import PartFaults
from stack.soak.server_faults import STEP_S, StoreFaults
from tasks.errors import ValkeyUnavailable
from tasks.jobs.keyspace import LEASES, UNSENT
from tasks.keys import ApiKeys, default_limits
from tasks.service import Service

CHANCE = random.Random(1)


def at_once(seconds: float) -> None:
    """Let no time pass."""


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(tmp_path / "history") as recorder:
        yield recorder


def test_an_emptied_valkey_has_the_keys_alone_and_the_history_says_so(
    service: Service, recorder: Recorder, tmp_path: Path
) -> None:
    secret, _ = service.webhook_secrets.rotate("alice")
    key, _ = ApiKeys(service.valkey).create("alice", default_limits(service.settings))
    service.valkey.set("stokehold:job:x", "1")

    StoreFaults(service, recorder, [], CHANCE, at_once).empty()

    assert set(service.valkey.keys("*")) == {"stokehold:keys", "stokehold:webhooks:secret:alice"}
    assert service.valkey.hget("stokehold:webhooks:secret:alice", "current") == secret
    assert ApiKeys(service.valkey).get(key.id) == key
    begin, end = read_history(tmp_path / "history")
    assert begin.request is not None
    assert begin.request.kind is Kind.EMPTY_VALKEY
    assert begin.operation == end.operation


def test_a_full_valkey_refuses_writes_until_there_is_room_again(service: Service, recorder: Recorder) -> None:
    refused: list[str] = []

    def meanwhile(seconds: float) -> None:
        with pytest.raises(ValkeyUnavailable, match="maxmemory"):
            service.valkey.set("x", "y" * 1000)
        refused.append("x")

    StoreFaults(service, recorder, [], CHANCE, meanwhile).fill()

    assert refused == ["x"]
    assert service.valkey.set("x", "y")


def test_a_stepped_clock_moves_what_leases_and_unsent_jobs_are_sorted_by(service: Service, recorder: Recorder) -> None:
    service.valkey.zadd(LEASES, {"running": 1000})
    service.valkey.zadd(UNSENT, {"queued": 900})

    StoreFaults(service, recorder, [], CHANCE, at_once).kinds()["valkey_clock_set_back"]()

    assert service.valkey.zscore(LEASES, "running") == 1000 + STEP_S
    assert service.valkey.zscore(UNSENT, "queued") == 900 + STEP_S


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(StackFolder(tmp_path / "stack"))


def sleeper(name: str, seconds: float = 600) -> Part:
    command = (sys.executable, "-c", f"import time; time.sleep({seconds})")
    return Part(name=name, command=command, is_ready=lambda _pid: True)


def test_each_fault_of_a_part_leaves_it_running_again(parts: Parts) -> None:
    parts.start([sleeper("api")])
    faults = PartFaults(parts, CHANCE, at_once).of_each(["api"])
    try:
        for name, fault in faults.items():
            fault()
            assert not parts.has_died("api"), name
    finally:
        parts.stop()

    assert set(faults) == {"api_killed", "api_frozen", "api_terminated"}


def test_a_part_that_ends_by_itself_is_started_again_and_counted(parts: Parts) -> None:
    parts.start([sleeper("housekeeping", seconds=0), sleeper("api")])
    faults = Faults(parts, {"nothing": lambda: None}, CHANCE, lambda _: None)
    try:
        faults.run(1, at_once)
    finally:
        parts.stop()

    assert faults.died["housekeeping"] >= 1
    assert "api" not in faults.died


def test_every_kind_of_fault_comes_before_one_comes_twice(parts: Parts) -> None:
    done: list[str] = []
    kinds = {name: lambda name=name: done.append(name) for name in ("a", "b", "c")}

    Faults(parts, kinds, CHANCE, lambda _: None).run(0.2, at_once)

    assert {*done[:3]} == {"a", "b", "c"}
    assert {*done[3:6]} == {"a", "b", "c"}
