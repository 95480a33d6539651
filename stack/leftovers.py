"""Processes that an earlier stack left running because it was itself killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from stack.errors import StackError
from stack.folder import StackFolder
from stack.process import POLL_S, kill_group
from stack.process_file import ProcessFile


def end_leftovers(folder: StackFolder, grace_s: float = 10) -> Iterator[str]:
    """End what an earlier stack left running because it was itself killed; the names of the parts.

    Args:
        folder: where that stack worked.
        grace_s: seconds that each part may take after SIGTERM.

    Raises:
        StackError: that stack was killed between the start of a part and the note of its process.
    """
    for file in folder.process_files():
        if file.is_locked():
            yield file.path.stem
            _end(file, grace_s)
        file.remove()


def _end(file: ProcessFile, grace_s: float) -> None:
    pid = file.read()
    if pid is None:
        raise StackError(
            f"{file.path.stem} of an earlier start still runs, and {file.path} does not name its process. "
            f"End it first: fuser -k {file.path}"
        )
    with suppress(ProcessLookupError):  # its parent is gone and its children live
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while file.is_locked() and time.monotonic() < deadline:
        time.sleep(POLL_S)
    kill_group(pid)
