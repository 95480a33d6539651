"""``scripts/up`` as a user runs it: in a terminal of its own, with its output kept."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack.folder import StackFolder
from stack.ports import Ports
from tests.support.processes import seen_of
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
"""Torch's threads wait for each other by spinning: on a machine with other work two of them take ten times longer."""


@dataclass(frozen=True)
class Up:
    """A running ``scripts/up``."""

    process: subprocess.Popen[bytes]
    folder: StackFolder
    ports: Ports
    output_file: Path

    @property
    def output(self) -> str:
        """What it has printed until now."""
        return self.output_file.read_text("utf-8")

    def parts(self) -> list[psutil.Process]:
        """Every process that belongs to it."""
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def pid_of(self, name: str) -> int | None:
        """The process of a part; None while it is started."""
        return self.folder.process_file(name).read()

    def wait_until_ready(self) -> None:
        """Return when it says that it is ready."""
        wait_until(lambda: "Ready:" in self.output or self.process.poll() is not None, timeout_s=180)
        assert "Ready:" in self.output, self.output

    def interrupt(self) -> int:
        """Press Ctrl-C and wait; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait()


@contextmanager
def running_up(folder: Path, ports: Ports, output_file: Path) -> Iterator[Up]:
    """Start ``scripts/up`` with its data in ``folder``; what still runs when the block is left is killed."""
    with output_file.open("wb") as output:
        process = subprocess.Popen(
            [ROOT / "scripts" / "up", "--port", str(ports.api), "--folder", folder],
            cwd="/",  # it works from anywhere
            env=ENVIRONMENT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    up = Up(process, StackFolder(folder), ports, output_file)
    try:
        yield up
    finally:
        if process.poll() is None:
            seen_of([*up.parts(), psutil.Process(process.pid)], psutil.Process.kill)
        process.wait()
