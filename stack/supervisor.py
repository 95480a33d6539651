"""Start the parts in order, restart those that end by themselves, and stop all in reverse order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from stack.errors import AlreadyRunning, PartDied, PartNotReady, StackError, StopAsked
from stack.folder import StackFolder
from stack.leftovers import end_leftovers
from stack.part import Part
from stack.process import POLL_S, Process
from stack.process_file import ProcessFileLocked
from stack.stop_request import StopRequest

Say = Callable[[str], None]

MAX_RESTARTS = 5
RESTARTS_WITHIN_S = 600
"""A part that ends by itself is started anew, but not more than this often in this time: then something is wrong."""
FIRST_PAUSE_S = 0.5
"""Before it is started anew; twice as long each further time."""


def say_now(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


class Supervisor:
    """The parts of one stack, which begin and end together.

    Args:
        folder: where they work.
        stop: the user's request to stop.
        say: takes a line for the user.
    """

    def __init__(self, folder: StackFolder, stop: StopRequest, say: Say) -> None:
        self._folder = folder
        self._stop = stop
        self._say = say
        self._processes: list[Process] = []
        self._restarts: dict[str, list[float]] = {}

    def start(self, parts: Iterable[Part]) -> None:
        """Start parts side by side, and wait until all of them are ready.

        Raises:
            PartDied: a part ended.
            PartNotReady: a part took too long.
            StopAsked: the user wants to stop.
        """
        begin = time.monotonic()
        first = len(self._processes)
        for part in parts:
            self._processes.append(Process(part, self._folder))
        for process in self._processes[first:]:
            self._wait_until_ready(process, begin)

    def watch(self) -> None:
        """Restart each part that ends by itself, and return when the user wants to stop.

        Raises:
            PartDied: a part ends again and again.
        """
        with suppress(StopAsked):
            while True:
                self._check_stop()
                for place, process in enumerate(self._processes):
                    self._processes[place] = self._alive(process)
                time.sleep(POLL_S)

    def check(self) -> None:
        """Check whether there is a reason to end.

        Raises:
            PartDied: a part ended.
            StopAsked: the user wants to stop.
        """
        for process in self._processes:
            process.check_alive()
        self._check_stop()

    def stop(self) -> None:
        """Stop every part, the last one first."""
        self._stop.asked = True  # whatever the reason is: the next Ctrl-C is urgent
        if self._processes:
            self._say("Stopping (Ctrl-C: at once):")
        while self._processes:
            process = self._processes.pop()
            begin = time.monotonic()
            how = "stopped" if process.stop(self._stop) else "killed"
            self._say(f"  {process.part.name:<14} {how} after {time.monotonic() - begin:.1f} s")

    def _check_stop(self) -> None:
        if self._stop.asked:
            raise StopAsked("Stopped before all was done.")

    def _alive(self, process: Process) -> Process:
        """Return the process, or its replacement if it has ended."""
        try:
            process.check_alive()
            return process
        except PartDied as death:
            pause_s = self._pause_before_restart(process.part.name, death)
        process.stop(self._stop)  # its children
        self._sleep(pause_s)
        return Process(process.part, self._folder)

    def _pause_before_restart(self, name: str, death: PartDied) -> float:
        """Return how long to wait before a part is restarted.

        Raises:
            PartDied: it was restarted too often.
        """
        now = time.monotonic()
        latest = [then for then in self._restarts.get(name, []) if now - then < RESTARTS_WITHIN_S]
        if len(latest) >= MAX_RESTARTS:
            raise death
        self._restarts[name] = [*latest, now]
        self._say(f"{headline(death)}. It is started anew ({len(latest) + 1} of {MAX_RESTARTS} times).")
        return FIRST_PAUSE_S * 2.0 ** len(latest)

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._check_stop()
            time.sleep(POLL_S)

    def _wait_until_ready(self, process: Process, begin: float) -> None:
        part = process.part
        while not process.is_ready():
            self.check()
            if time.monotonic() - begin > part.ready_within_s:
                raise PartNotReady(f"{part.name} is not ready after {part.ready_within_s:g} s. {process.last_words()}")
            time.sleep(POLL_S)
        self._say(f"  {part.name:<14} ready after {time.monotonic() - begin:4.1f} s   {part.says}".rstrip())


@contextmanager
def supervised(folder: StackFolder, stop: StopRequest, say: Say = say_now) -> Iterator[Supervisor]:
    """A supervisor that has the folder for itself; when the block is left, its parts are stopped.

    Raises:
        AlreadyRunning: another stack works in the folder.
    """
    lock = folder.lock
    with ExitStack() as cleanup:
        try:
            cleanup.enter_context(lock.locked())
        except ProcessFileLocked as error:
            pid = lock.read()
            process = (
                "one that has just begun. Wait a moment" if pid is None else f"process {pid}. Stop it first: kill {pid}"
            )
            raise AlreadyRunning(f"Another stack works in {folder.root}: {process}") from error
        lock.write(os.getpid())
        for name in end_leftovers(folder):
            say(f"  {name:<14} was left over from an earlier start: stopped")
        supervisor = Supervisor(folder, stop, say)
        cleanup.callback(supervisor.stop)
        try:
            yield supervisor
        except StackError as error:
            say(f"{headline(error)}.")  # now: the rest of the message comes when all have stopped
            raise


def headline(error: StackError) -> str:
    """The first sentence of a message."""
    return str(error).partition(". ")[0]
