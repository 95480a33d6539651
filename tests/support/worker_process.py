"""Real worker processes whose jobs a test stops at a gate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tasks.lanes.worker_registry import WorkerNote, WorkerRegistry
from tasks.settings import PREFIX
from tests.support.up import ROOT
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class WorkerProcess:
    """A worker of the demo base."""

    pid: int
    folder: Path
    registry: WorkerRegistry

    def close(self, gate: str) -> None:
        """Let the next job that comes to this gate wait there."""
        (self.folder / f"{gate}.reached").unlink(missing_ok=True)
        (self.folder / f"{gate}.closed").touch()

    def open(self, gate: str) -> None:
        """Let it on."""
        (self.folder / f"{gate}.closed").unlink()

    def break_device(self) -> None:
        """Let every further drawing of this worker fail, as with a lost device."""
        (self.folder / "broken").touch()

    def wait_for_job_at(self, gate: str) -> None:
        """Return when a job stands before this gate."""
        wait_until((self.folder / f"{gate}.reached").exists, timeout_s=60)

    @property
    def log(self) -> str:
        """What it has written until now."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def note(self) -> WorkerNote | None:
        """What it says of itself, if it is known as alive."""
        return next((note for note in self.registry.alive("demo") if f"-{self.pid}@" in note.name), None)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    @property
    def is_gone(self) -> bool:
        """Return whether the process has ended."""
        return not psutil.pid_exists(self.pid)

    def kill(self) -> None:
        """End it as a loss of power does."""
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        wait_until(lambda: self.is_gone)


class Nursery:
    """Where workers are forked; see ``tests.support.nursery``."""

    def __init__(self, folder: Path, environment: Mapping[str, str], registry: WorkerRegistry) -> None:
        self._folder = folder
        self._registry = registry
        self._workers: list[WorkerProcess] = []
        self._log = (folder / "nursery.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._ready = False

    def launch(self, *gates: str, **settings: object) -> WorkerProcess:
        """Fork a worker with these gates closed, and settings beside those of all; it may not be ready yet."""
        if not self._ready:
            assert self._answer() == "ready", (self._folder / "nursery.log").read_text("utf-8")
            self._ready = True
        folder = self._folder / f"worker-{len(self._workers)}"
        folder.mkdir()
        assert self._process.stdin is not None
        for gate in gates:
            (folder / f"{gate}.closed").touch()
        environment = {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
        print(json.dumps([str(folder), environment]), file=self._process.stdin, flush=True)
        worker = WorkerProcess(int(self._answer()), folder, self._registry)
        self._workers.append(worker)
        return worker

    def start(self, *gates: str, **settings: object) -> WorkerProcess:
        """Fork a worker, and wait until it takes jobs."""
        worker = self.launch(*gates, **settings)
        wait_until(lambda: worker.note() is not None or worker.is_gone, timeout_s=60)
        assert not worker.is_gone, worker.log
        return worker

    def kill_all(self) -> None:
        """End every worker that still runs."""
        for worker in self._workers:
            worker.kill()

    def close(self) -> None:
        """End everything."""
        self.kill_all()
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


Launch = Callable[..., WorkerProcess]
