"""The parts of our own: the API, the processes that run loops, and a worker with a warm pipeline."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from stack.part import Part
from stack.ports import LOOPBACK
from stack.probes import answers_200
from tasks.errors import ValkeyUnavailable
from tasks.lanes.worker_registry import WorkerRegistry
from tasks.loops.rounds import LOOPS, Rounds
from tasks.valkey import connect

Environment = Mapping[str, str]

LARGE_PAGES: Environment = {"THP_MEM_ALLOC_ENABLE": "1"}
"""torch asks for memory in pages of 2 MB: on a CPU an adapter is read in two thirds of the time."""


def api_url(port: int) -> str:
    """Return where clients reach the API."""
    return f"http://{LOOPBACK}:{port}"


def api_part(port: int, environment: Environment) -> Part:
    """The API under gunicorn; ready when it reaches Valkey and storage."""
    return Part(
        name="api",
        command=(
            *(sys.executable, "-m", "gunicorn", "--config", "python:api.gunicorn_config"),
            *("--bind", f"{LOOPBACK}:{port}"),
        ),
        is_ready=lambda _pid: answers_200(f"{api_url(port)}/readyz"),
        says=api_url(port),
        environment=environment,
    )


def loops_part(process: str, valkey_url: str, environment: Environment) -> Part:
    """A process that runs loops; ready when each of them has finished a round."""
    return Part(
        name=process,
        command=(sys.executable, "-m", "tasks.processes", process),
        is_ready=lambda pid: has_gone_round(valkey_url, process, pid),
        says=", ".join(LOOPS[process]),
        environment=environment,
        grace_s=20,  # a delivery to a slow receiver takes 15
    )


def base_worker_part(slug: str, valkey_url: str, environment: Environment) -> Part:
    """The worker of a base model; ready when it has registered itself, which it does once its pipeline is warm."""
    return Part(
        name=f"worker-{slug}",
        command=(sys.executable, "-m", "workers", "--base", slug),
        is_ready=lambda pid: is_registered(valkey_url, slug, pid),
        says=f"base model {slug}",
        environment={**LARGE_PAGES, **environment},
        ready_within_s=600,  # weights may have to be downloaded first
        grace_s=120,  # it finishes what it draws
    )


def is_registered(valkey_url: str, slug: str, pid: int) -> bool:
    """Return whether the worker of this process has registered itself; one of an earlier start may still be registered.

    This reads the registry and not the API, which may require a key.
    """
    try:
        with connect(valkey_url) as valkey:
            workers = WorkerRegistry(valkey, forget_after_s=1).alive(slug)
    except ValkeyUnavailable:
        return False
    return any(worker.name.startswith(f"{slug}-{pid}@") for worker in workers)


def has_gone_round(valkey_url: str, process: str, pid: int) -> bool:
    """Return whether each loop of this process has finished a round; those of an earlier start do not count."""
    try:
        with connect(valkey_url) as valkey:
            latest = Rounds(valkey, period_s=1).latest()
    except ValkeyUnavailable:
        return False
    return all(loop in latest and latest[loop].process.startswith(f"{pid}@") for loop in LOOPS[process])
