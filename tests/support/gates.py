"""Gates in a worker under test: a test closes one, and the job that comes to it waits there to be killed or let on.

A gate is a file ``<name>.closed`` in the worker's folder; ``<name>.reached`` says that a job stands before it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import torch

import workers.run.stages
import workers.swap.engine
from storage.put_process import S3StorageWithPutProcess
from tasks.jobs.job import JobSpec, Progress
from tasks.jobs.store import JobStore
from workers.run.attempt import Attempt
from workers.stages.draw import DrawnImage, Session
from workers.stages.prepare import prepare
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
    put = before("upload", after("uploaded", S3StorageWithPutProcess.put))
    S3StorageWithPutProcess.put = put  # type: ignore[method-assign]
    JobStore.succeed = before("finish", JobStore.succeed)  # type: ignore[method-assign]
