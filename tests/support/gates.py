"""Gates in a worker under test: a test closes one, and the job that comes to it waits there to be killed or let on.

A gate is a file ``<name>.closed`` in the worker's folder; ``<name>.reached`` says that a job stands before it.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

import workers.run.stages
import workers.swap.engine
from storage.put_process import S3StorageWithPutProcess
from tasks.jobs.job import JobSpec, Progress
from tasks.jobs.store import JobStore
from workers.adapters import reader, reader_server
from workers.adapters.parser import parse_adapter
from workers.adapters.shell import LoaderShell
from workers.run.attempt import Attempt
from workers.stages.draw import DrawnImage, Session
from workers.stages.prepare import prepare
from workers.swap.parsed_adapter import Allocate, ParsedAdapter
from workers.swap.rewrite import rewrite

GATES = ("prepare", "swap", "draw", "upload", "uploaded", "finish")
BROKEN = "broken"
"""A file of this name breaks the worker's device."""
POISON = "poison"
"""A job with this in its prompt kills whoever draws it."""
DEAF = "deaf"
"""A job with this in its prompt holds the interpreter and comes to no end, as a call into C may."""
HUGE = "huge"
"""A job with this in its prompt asks for more memory than there is."""


MISBEHAVIOUR = "misbehaviour"
"""In the metadata of an adapter's file: what happens to the process that reads it."""


def segfault() -> None:
    """End as by a fault in compiled code."""
    os.kill(os.getpid(), signal.SIGSEGV)


def take_memory() -> None:
    """Take ever more memory."""
    taken = []
    while True:
        taken.append(bytes(64 << 20))


def hold_interpreter() -> None:
    """Compute without end, and let no other thread do anything."""
    re.match("(a+)+b", 100 * "a")


def open_other_file() -> None:
    """Read what belongs to the operator."""
    Path("/etc/passwd").read_text()


MISBEHAVIOURS = {one.__name__: one for one in (segfault, take_memory, hold_interpreter, open_other_file)}


def misbehaving(shell: LoaderShell, path: Path, ref: str, *, allocate: Allocate) -> ParsedAdapter:
    """As ``parse_adapter``, for files that say what they do to it."""
    with suppress(SafetensorError), safe_open(path, "pt") as file:
        misbehaviour = (file.metadata() or {}).get(MISBEHAVIOUR)
        if misbehaviour is not None:
            MISBEHAVIOURS[misbehaviour]()
    return parse_adapter(shell, path, ref, allocate=allocate)


def fork_server() -> reader.ServerProcess:
    """The process that reads adapters, forked from this one: it needs no seconds to import what is there already."""
    reader_server.parse_adapter = misbehaving  # type: ignore[attr-defined, assignment]
    ours, theirs = socket.socketpair()
    if not os.fork():
        ours.close()
        reader_server.serve(theirs)
        os._exit(0)
    theirs.close()
    return reader.ServerProcess(ours, None)


def launch_with(first: reader.ServerProcess) -> Callable[[], reader.ServerProcess]:
    """Return what gives this process first, and then new ones, as they are started by a worker that has threads."""
    launched = chain([first], iter(reader.launch, None))
    return lambda: next(launched)


def install(folder: Path) -> None:
    """Put the gates into this process: before preparing, amid a swap, at each step, around an upload, at the end."""

    def gate(name: str) -> None:
        closed = folder / f"{name}.closed"
        if closed.exists():
            (folder / f"{name}.reached").touch()
        while closed.exists():
            time.sleep(0.02)

    def before(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def gated(*arguments: Any, **options: Any) -> Any:
            gate(name)
            return function(*arguments, **options)

        return gated

    def after(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def gated(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            gate(name)
            return result

        return gated

    report = Attempt.report

    def gated_report(self: Attempt, progress: Progress) -> None:
        gate("draw")
        if POISON in self.job.spec.prompt:
            os.kill(os.getpid(), signal.SIGKILL)
        if DEAF in self.job.spec.prompt:
            ctypes.PyDLL(None).sleep(10**6)
        if HUGE in self.job.spec.prompt:
            torch.empty(1 << 50)
        report(self, progress)

    draw = Session.draw_one_of_each

    def draw_or_fail(self: Session, specs: Sequence[JobSpec], number: int) -> list[DrawnImage]:
        if (folder / BROKEN).exists():
            raise RuntimeError("CUDA error: device-side assert triggered")
        return draw(self, specs, number)

    Session.draw_one_of_each = draw_or_fail  # type: ignore[method-assign]
    workers.run.stages.prepare = before("prepare", prepare)  # type: ignore[attr-defined]
    workers.swap.engine.rewrite = after("swap", rewrite)  # type: ignore[attr-defined]
    Attempt.report = gated_report  # type: ignore[method-assign]
    reader.launch = launch_with(fork_server())
    put = before("upload", after("uploaded", S3StorageWithPutProcess.put))
    S3StorageWithPutProcess.put = put  # type: ignore[method-assign]
    JobStore.succeed = before("finish", JobStore.succeed)  # type: ignore[method-assign]
