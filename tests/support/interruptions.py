"""Interrupts the work of this process at one of its calls of Valkey or storage, in every way that a call can end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum, auto
from typing import Any
from unittest.mock import patch

from storage import S3Storage, StorageNotReachable
from tasks.errors import ValkeyUnavailable
from tasks.valkey import Valkey

STORAGE_CALLS = ("put", "get", "get_range", "size", "digest", "copy", "upload_stream", "remove", "delete")


class Kind(Enum):
    """What happens at the call."""

    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()
    REFUSED = auto()
    ANSWER_LOST = auto()
    FROZEN = auto()
    """The process stalls before the call for longer than anything is kept."""


class Killed(BaseException):
    """The process is gone: whatever it would still do is not done."""


class Interruption:
    """Happens at one call.

    Args:
        at: the number of the call, from 0.
        thaw: what the rest of the service does while the process is frozen.
    """

    def __init__(self, kind: Kind, at: int, thaw: Callable[[], None]) -> None:
        self._kind, self._left, self._thaw = kind, at, thaw
        self._is_dead = False
        self._is_off = False

    def around(self, call: Callable[[], Any], unavailable: type[Exception]) -> Any:
        """Make a call, or not."""
        if self._is_dead:
            raise Killed
        if self._is_off:
            return call()
        self._left -= 1
        return call() if self._left != -1 else self._interrupt(call, unavailable)

    def _interrupt(self, call: Callable[[], Any], unavailable: type[Exception]) -> Any:
        match self._kind:
            case Kind.KILLED_BEFORE:
                self._is_dead = True
                raise Killed
            case Kind.KILLED_AFTER:
                call()
                self._is_dead = True
                raise Killed
            case Kind.REFUSED:
                raise unavailable("not done")
            case Kind.ANSWER_LOST:
                call()
                raise unavailable("done, perhaps")
            case Kind.FROZEN:
                self._is_off = True
                self._thaw()
                self._is_off = False
                return call()


@contextmanager
def interrupted(kind: Kind, at: int, thaw: Callable[[], None]) -> Iterator[None]:
    """Interrupt what is done in the block at its call number ``at``. A process that is killed ends the block."""
    interruption = Interruption(kind, at, thaw)

    def wrapped(real: Callable[..., Any], unavailable: type[Exception]) -> Callable[..., Any]:
        def call(self: object, *arguments: Any, **options: Any) -> Any:
            return interruption.around(lambda: real(self, *arguments, **options), unavailable)

        return call

    with ExitStack() as patches:
        for name in STORAGE_CALLS:
            call = wrapped(getattr(S3Storage, name), StorageNotReachable)
            patches.enter_context(patch.object(S3Storage, name, call))
        command = wrapped(Valkey.execute_command, ValkeyUnavailable)
        patches.enter_context(patch.object(Valkey, "execute_command", command))
        try:
            yield
        except Killed:
            return
