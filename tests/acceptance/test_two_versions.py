"""While a service is updated: the API and the worker of other versions beside those of this one, under load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
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


@pytest.fixture
def others(tmp_path: Path) -> list[Path]:
    """The files of other versions: the next one, and the one before, if that knows stored records."""
    before = previous(tmp_path / "previous")
    return [following(tmp_path / "following"), *([before] if before else [])]


@pytest.fixture
def ports() -> Ports:
    return Ports.free()


@pytest.fixture
def clients(others: list[Path], ports: Ports, tmp_path: Path) -> Iterator[list[ApiClient]]:
    """Clients of this version's API and of the others'; a worker of each draws, and each may draw any job."""
    folder = StackFolder(tmp_path / "stack")
    parts, valkey, settings = Parts(folder), valkey_url(ports.valkey), environment(ports)
    servers = [
        valkey_part(folder.data("valkey"), ports.valkey),
        seaweedfs_part(folder.data("s3"), ports, KEY, SECRET),
    ]
    ours = [api_part(ports.api, settings), base_worker_part("demo", valkey, settings)]
    loops = [loops_part(process, valkey, settings) for process in LOOPS]
    beside = [replace(ports, api=Ports.free().api) for _ in others]
    theirs = [
        of(tree, part)
        for tree, free in zip(others, beside, strict=True)
        for part in (api_part(free.api, settings), base_worker_part("demo", valkey, settings))
    ]
    try:
        parts.start(servers)
        parts.start([*ours, *loops, *theirs])
        with ExitStack() as open_clients:
            yield [open_clients.enter_context(ApiClient(api_url(each.api), None)) for each in (ports, *beside)]
    finally:
        parts.stop(urgent=True)


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
    return replace(part, name=f"{tree.name}-{part.name}", command=("env", "-C", str(tree), *part.command))


def go_on() -> None:
    """Poll again."""


def test_every_version_accepts_draws_and_shows_the_jobs_of_all(clients: list[ApiClient], ports: Ports) -> None:
    with ThreadPoolExecutor(len(clients)) as pool:
        ids = list(
            pool.map(
                lambda number: clients[number % len(clients)].submit_job({**REQUEST, "seed": number}),
                range(JOBS * len(clients)),
            )
        )

        # Each version shows what any has accepted and drawn.
        shown = list(pool.map(lambda job_id: [client.finished_job(job_id, go_on) for client in clients], ids))

    records = [record for each in shown for record in each]
    assert {record["status"] for record in records} == {"succeeded"}
    assert len({record["worker"] for record in records}) == len(clients)
    assert all(len(record["images"]) == 1 for record in records)
    with connect(valkey_url(ports.valkey)) as valkey:
        assert {valkey.hget(job_key(job_id), "attempt") for job_id in ids} == {"1"}
