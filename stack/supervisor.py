"""Start the parts in order, see that all of them live, and stop them in reverse order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from stack.errors import AlreadyRunning, PartNotReady, StackError, StopAsked
from stack.folder import StackFolder
from stack.leftovers import end_leftovers
from stack.part import Part
from stack.process import POLL_S, Process
from stack.process_file import ProcessFileLocked
from stack.stop_request import StopRequest

Say = Callable[[str], None]


def say_now(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


class Supervisor:
    """The parts of one stack, which live and end together.

    Args:
        folder: where they work.
        stop: what the user wants.
        say: takes a line for the user.
    """

    def __init__(self, folder: StackFolder, stop: StopRequest, say: Say) -> None:
        self._folder = folder
        self._stop = stop
        self._say = say
        self._processes: list[Process] = []

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
        """Return when the user wants to stop.

        Raises:
            PartDied: a part ended.
        """
        with suppress(StopAsked):
            while True:
                self.check()
                time.sleep(POLL_S)

    def check(self) -> None:
        """See whether there is a reason to end.

        Raises:
            PartDied: a part ended.
            StopAsked: the user wants to stop.
        """
        for process in self._processes:
            process.check_alive()
        if self._stop.asked:
            raise StopAsked("Stopped before all was done.")

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
            raise AlreadyRunning(
                f"Another stack works in {folder.root}: process {lock.read()}. Stop it first: kill {lock.read()}"
            ) from error
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
