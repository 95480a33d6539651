"""The connection to Valkey or Redis: bounded waits, and one error when the server is unavailable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.client import Pipeline
from redis.commands.core import Script
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tasks.errors import ValkeyUnavailable

TASKS = Path(__file__).parent


@contextmanager
def valkey_errors() -> Iterator[None]:
    """Translate the client's connection errors, and the server's refusal to write.

    Raises:
        ValkeyUnavailable: the server cannot be reached, refuses us, is loading its data or does not answer in time; or
            it cannot write, without memory or disk, or as a replica.
    """
    try:
        yield
    except RedisError as error:
        if not may_serve_later(error):
            raise
        raise ValkeyUnavailable(
            f"Valkey does not serve us ({error}). Try again soon; if it lasts, check STOKEHOLD_VALKEY_URL and it."
        ) from error


def may_serve_later(error: RedisError) -> bool:
    """Return whether the server's state is at fault, and not the command."""
    known = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError)
    return isinstance(error, known) or "MISCONF" in str(error)  # there is no class for a disk that it cannot write


class ValkeyPipeline(Pipeline):
    """Several commands at once; raises as ``Valkey`` does."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        with valkey_errors():
            return super().execute(raise_on_error)


class Valkey(Redis):
    """A client whose commands raise ``ValkeyUnavailable``; subscriptions need ``valkey_errors`` around them."""

    def script(self, *names: str) -> Script:
        """A Lua script, which the server runs as one atomic step.

        Args:
            names: its files, put one behind the other, by their paths in ``tasks/`` without ``.lua``.
        """
        return self.register_script("\n".join((TASKS / f"{name}.lua").read_text("utf-8") for name in names))

    def now(self) -> float:
        """Return the server's time, in seconds since 1970."""
        seconds, microseconds = self.time()
        return seconds + microseconds / 1e6

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> ValkeyPipeline:
        return ValkeyPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        with valkey_errors():
            return super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]


def connect(valkey_url: str) -> Valkey:
    """Return a client that decodes replies to ``str`` and notices within a few seconds that the server is unavailable.

    It repeats a command whose reply is lost, so every script must be safe to run twice.
    """
    valkey = Valkey.from_url(
        valkey_url,
        decode_responses=True,
        socket_connect_timeout=1,
        socket_timeout=2,
        retry=Retry(ExponentialBackoff(base=0.05, cap=0.5), retries=1),
    )
    return cast(Valkey, valkey)
