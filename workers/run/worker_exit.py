"""The exit of a worker by itself: it takes no more jobs, settles those that it has, and says why in its exit code."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from enum import IntEnum

from workers.run.shutdown import Shutdown

logger = logging.getLogger(__name__)


class ExitCode(IntEnum):
    """The reason why a worker has ended by itself (numbers of sysexits.h)."""

    UNHEALTHY = 69
    """It cannot be trusted with jobs: a new process may be, or its machine must be mended."""
    STALLED = 70
    """An attempt stalled, or the process did not end when it was asked to."""


class WorkerExit:
    """The end of this process.

    Args:
        tell: requests a shutdown of this process, as a SIGTERM does.

    Attributes:
        code: exit code; None unless the worker ends by itself.
    """

    def __init__(
        self, shutdown: Shutdown, tell: Callable[[], None], exit_now: Callable[[int], None] = os._exit
    ) -> None:
        self._shutdown = shutdown
        self._tell = tell
        self._exit_now = exit_now
        self.code: ExitCode | None = None

    def exit_gracefully(self, code: ExitCode) -> None:
        """Take no more jobs, finish those being drawn, requeue those that wait, and exit."""
        if self.code is not None:
            return
        self.code = code
        self._shutdown.graceful.set()
        self._tell()

    def exit_immediately(self, code: ExitCode) -> None:
        """End this process and its children at once."""
        self.code = self.code or code
        logger.error("this worker exits with code %d", self.code)
        for child in multiprocessing.active_children():
            child.kill()
        self._exit_now(self.code)


def terminate() -> None:
    """Send this process a SIGTERM."""
    os.kill(os.getpid(), signal.SIGTERM)
