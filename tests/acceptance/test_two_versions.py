"""While a service is updated: the API and the worker of another version beside those of this one, under load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stack.folder import StackFolder
from stack.part import Part
from stack.parts import Parts
from stack.ports import Ports
from stack.seaweedfs import s3_url, seaweedfs_part
from stack.services import api_part, api_url, base_worker_part, loops_part
from stack.valkey import valkey_part, valkey_url
from tasks.api_client import ApiClient
from tasks.jobs.keyspace import job_key
from tasks.loops.rounds import LOOPS
from tasks.settings import PREFIX
from tasks.valkey import connect
from tests.support.trees import following, previous

pytestmark = pytest.mark.slow

KEY, SECRET = "test-access-key", "test-secret-key"
JOBS = 8
"""That each API accepts."""
REQUEST = {"prompt": "a red circle", "width": 32, "height": 32, "steps": 2}


@pytest.fixture(params=["previous", "following"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The files of another version."""
    if request.param == "following":
        return following(tmp_path / "following")
    tree = previous(tmp_path / "previous")
    if tree is None:
        pytest.skip("There is no commit before this one that knows stored records.")
    return tree


@pytest.fixture
def ports() -> Ports:
    return Ports.free()


@pytest.fixture
def clients(other: Path, ports: Ports, tmp_path: Path) -> Iterator[tuple[ApiClient, ApiClient]]:
    """Clients of this version's API and of the other's; a worker of each draws, and either may draw any job."""
    parts, beside = Parts(StackFolder(tmp_path / "stack")), Ports.free()
    valkey, settings = valkey_url(ports.valkey), environment(ports)
    try:
        data = StackFolder(tmp_path / "stack")
        storage = seaweedfs_part(data.data("s3"), ports, KEY, SECRET)
        parts.start([valkey_part(data.data("valkey"), ports.valkey), storage])
        parts_of_ours = [
            *(loops_part(process, valkey, settings) for process in LOOPS),
            base_worker_part("demo", valkey, settings),
        ]
        their_worker = base_worker_part("demo", valkey, settings)
        parts.start(
            [
                api_part(ports.api, settings),
                *parts_of_ours,
                of(other, api_part(beside.api, settings)),
                of(other, their_worker),
            ]
        )
        with ApiClient(api_url(ports.api), None) as ours, ApiClient(api_url(beside.api), None) as theirs:
            yield ours, theirs
    finally:
        parts.stop()


def environment(ports: Ports) -> Mapping[str, str]:
    values: dict[str, Any] = {
        "valkey_url": valkey_url(ports.valkey),
        "s3_endpoint": s3_url(ports),
        "s3_access_key": KEY,
        "s3_secret_key": SECRET,
        "device": "cpu",
    }
    return {"OMP_NUM_THREADS": "1", **{f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}}


def of(tree: Path, part: Part) -> Part:
    """The part as it is in another version."""
    return replace(part, name=f"other-{part.name}", command=("env", "-C", str(tree), *part.command))


def go_on() -> None:
    """Poll again."""


def test_either_version_accepts_draws_and_shows_the_jobs_of_both(
    clients: tuple[ApiClient, ApiClient], ports: Ports
) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = list(
            pool.map(lambda number: clients[number % 2].submit_job({**REQUEST, "seed": number}), range(2 * JOBS))
        )

        # Each version shows what either has accepted and drawn.
        shown = list(pool.map(lambda job_id: [client.finished_job(job_id, go_on) for client in clients], ids))

    records = [record for pair in shown for record in pair]
    assert {record["status"] for record in records} == {"succeeded"}
    assert len({record["worker"] for record in records}) == 2
    assert all(len(record["images"]) == 1 for record in records)
    with connect(valkey_url(ports.valkey)) as valkey:
        assert {valkey.hget(job_key(job_id), "attempt") for job_id in ids} == {"1"}
