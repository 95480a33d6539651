"""Parts of a stack that are started, killed and frozen one by one: for tests and the soak."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress

from stack.errors import PartDied, PartNotReady
from stack.folder import StackFolder
from stack.part import Part
from stack.process import POLL_S, Process, kill_group
from stack.stop_request import StopRequest


class Parts:
    """The running parts, by name. They are not watched: they end only when the caller ends them.

    Args:
        folder: where they work.
    """

    def __init__(self, folder: StackFolder) -> None:
        self._folder = folder
        self._processes: dict[str, Process] = {}

    def start(self, parts: Iterable[Part]) -> None:
        """Start parts side by side, and wait until all of them are ready.

        Raises:
            PartDied: a part ended.
            PartNotReady: a part took too long.
        """
        started = [Process(part, self._folder) for part in parts]
        self._processes.update({process.part.name: process for process in started})
        for process in started:
            self.wait_until_ready(process.part.name)

    def wait_until_ready(self, name: str) -> None:
        """Wait until a part is ready.

        Raises:
            PartDied: it ended.
            PartNotReady: it took too long.
        """
        process = self._processes[name]
        deadline = time.monotonic() + process.part.ready_within_s
        while not process.is_ready():
            process.check_alive()
            if time.monotonic() > deadline:
                raise PartNotReady(f"{name} is not ready in time. {process.last_words()}")
            time.sleep(POLL_S)

    def pid(self, name: str) -> int:
        """The process of a part."""
        return self._processes[name].pid

    def has_died(self, name: str) -> bool:
        """Return whether a part has ended by itself."""
        try:
            self._processes[name].check_alive()
        except PartDied:
            return True
        return False

    def start_the_dead(self) -> tuple[str, ...]:
        """Restart the parts that have ended by themselves, as a supervisor does, and return their names.

        Raises:
            PartDied, PartNotReady: as by ``start``.
        """
        dead = tuple(name for name in self._processes if self.has_died(name))
        self.start([self.kill(name) for name in dead])
        return dead

    def kill(self, name: str) -> Part:
        """End a part as a loss of power does, and return its description, with which it can be started again."""
        process = self._processes.pop(name)
        kill_group(process.pid)
        process.stop(StopRequest(asked=True, urgent=True))
        return process.part

    def end(self, name: str) -> Part:
        """Wait for a part that is shutting down, within its grace, and return its description."""
        process = self._processes.pop(name)
        deadline = time.monotonic() + process.part.grace_s
        with suppress(PartDied):
            while time.monotonic() < deadline:
                process.check_alive()
                time.sleep(POLL_S)
        process.stop(StopRequest(asked=True, urgent=True))
        return process.part

    def freeze(self, name: str) -> None:
        """Freeze a part and its children."""
        os.killpg(self.pid(name), signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen part continue."""
        os.killpg(self.pid(name), signal.SIGCONT)

    def stop(self, *, urgent: bool = False) -> None:
        """Stop every part in order, the last one first.

        Args:
            urgent: kill each at once, since its data is not needed any more.
        """
        for name in reversed(tuple(self._processes)):
            with suppress(ProcessLookupError):  # it has died
                self.thaw(name)
            self._processes.pop(name).stop(StopRequest(asked=urgent, urgent=urgent))
