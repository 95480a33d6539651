"""One child process: started, watched and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from contextlib import suppress

from stack.errors import PartDied, StackError
from stack.folder import StackFolder, private
from stack.part import Part
from stack.stop_request import StopRequest

POLL_S = 0.1
"""Seconds between two checks of a process."""


class Process:
    """A running part. It has a session of its own, so that Ctrl-C reaches the supervisor alone."""

    def __init__(self, part: Part, folder: StackFolder) -> None:
        self.part = part
        self.log = folder.log(part.name)
        self._file = folder.process_file(part.name)
        folder.make_private()
        self.log.parent.mkdir(exist_ok=True)
        with self._file.locked() as descriptor, open(self.log, "ab", opener=private) as log:
            try:
                self._popen = subprocess.Popen(
                    part.command,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", **part.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    umask=0o077,  # its output holds prompts
                    pass_fds=(descriptor,),
                )
            except OSError as error:
                raise StackError(f"Cannot start {part.name}: {error}. Run scripts/setup.") from error
            self._file.write(self._popen.pid)

    @property
    def pid(self) -> int:
        """Its process id, which is also its group's."""
        return self._popen.pid

    def is_ready(self) -> bool:
        """Return whether the part is ready."""
        return self.part.is_ready(self.pid)

    def check_alive(self) -> None:
        """Raise PartDied if the part has ended."""
        exit_code = self._popen.poll()
        if exit_code is not None:
            raise PartDied(f"{self.part.name} died ({_ending(exit_code)}). {self.last_words()}")

    def last_words(self, lines: int = 15) -> str:
        """The end of its log, for a message."""
        with self.log.open(encoding="utf-8", errors="replace") as log:
            return f"The end of {self.log}:\n" + "".join(f"  | {line}" for line in deque(log, maxlen=lines))

    def stop(self, stop: StopRequest) -> bool:
        """End the part and every child of it; False if it had to be killed.

        Args:
            stop: when it becomes urgent, the part is killed before its grace has passed.
        """
        obeyed = True
        if self._popen.poll() is None:
            self._popen.terminate()
            obeyed = self._ends_within_grace(stop)
        kill_group(self._popen.pid)
        self._popen.wait()
        self._file.remove()
        for path in self.part.leftovers:
            path.unlink(missing_ok=True)
        return obeyed

    def _ends_within_grace(self, stop: StopRequest) -> bool:
        deadline = time.monotonic() + self.part.grace_s
        while time.monotonic() < deadline and not stop.urgent:
            if self._popen.poll() is not None:
                return True
            time.sleep(POLL_S)
        return False


def kill_group(pid: int) -> None:
    """Kill a process and its children, as far as they live."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _ending(exit_code: int) -> str:
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
