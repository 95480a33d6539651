"""The parts of our own: the API, the light worker, and a worker with a warm pipeline."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from stack.part import Part
from stack.ports import LOOPBACK
from stack.probes import answers_200
from tasks.broker import connect
from tasks.errors import BrokerUnavailable
from tasks.worker_registry import WorkerRegistry

Environment = Mapping[str, str]

LARGE_PAGES: Environment = {"THP_MEM_ALLOC_ENABLE": "1"}
"""torch asks for memory in pages of 2 MB: on a CPU an adapter is read in two thirds of the time."""


def api_url(port: int) -> str:
    """Where clients reach the API."""
    return f"http://{LOOPBACK}:{port}"


def api_part(port: int, environment: Environment) -> Part:
    """The API under gunicorn; ready when it reaches broker and storage."""
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


def light_worker_part(broker_url: str, schedule: Path, environment: Environment) -> Part:
    """The worker for housekeeping, with the clock that sends it; ready when it answers a ping."""
    name = "light@stokehold"
    return Part(
        name="light-worker",
        command=(
            *(sys.executable, "-m", "celery", "-A", "tasks.celery", "worker", "--queues", "light"),
            *("--pool", "threads", "--concurrency", "5", "--without-gossip", "--without-mingle"),
            *("--beat", "--schedule", str(schedule), "--hostname", name, "--loglevel", "INFO"),
        ),
        is_ready=lambda _pid: answers_celery_ping(broker_url, name),
        says="housekeeping",
        environment=environment,
    )


def base_worker_part(slug: str, broker_url: str, environment: Environment) -> Part:
    """The worker of a base model; ready when it has noted itself, which it does once its pipeline is warm."""
    return Part(
        name=f"worker-{slug}",
        command=(sys.executable, "-m", "workers", "--base", slug),
        is_ready=lambda pid: is_registered(broker_url, slug, pid),
        says=f"base model {slug}",
        environment={**LARGE_PAGES, **environment},
        ready_within_s=600,  # weights may have to be downloaded first
        grace_s=120,  # it finishes what it draws
    )


def is_registered(broker_url: str, slug: str, pid: int) -> bool:
    """Whether the worker of this process has noted itself; one of an earlier start may be there still.

    The registry is asked and not the API, which may want a key for its answer.
    """
    try:
        with connect(broker_url) as broker:
            workers = WorkerRegistry(broker, forget_after_s=1).alive(slug)
    except BrokerUnavailable:
        return False
    return any(worker.name.startswith(f"{slug}-{pid}@") for worker in workers)


def answers_celery_ping(broker_url: str, name: str) -> bool:
    """Whether the Celery worker of this name answers."""
    with Celery(broker=broker_url, set_as_current=False) as app:
        try:
            return bool(app.control.ping(destination=[name], timeout=0.5))
        except (OperationalError, RedisError):  # also of a connection that an earlier broker left in kombu's pool
            return False
