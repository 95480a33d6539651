"""The whole service on free ports, with a worker that draws in no time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stack.folder import StackFolder
from stack.local_stack import LocalStack, running
from stack.part import Part
from stack.ports import Ports
from stack.stop_request import StopRequest
from tasks.settings import Settings, settings


@dataclass(frozen=True)
class InstantStack(LocalStack):
    """A stack of embedded servers whose worker is ``benchmarks.instant_worker``."""

    def services(self, settings: Settings) -> Iterator[Part]:
        """Our own parts, the worker among them replaced."""
        for part in super().services(settings):
            if part.name.startswith("worker-"):
                command = ["benchmarks.instant_worker" if word == "workers" else word for word in part.command]
                yield replace(part, command=tuple(command))
            else:
                yield part


def say_on_stderr(line: str) -> None:
    """Leave standard output to the figures."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def instant_service(folder: Path) -> Iterator[InstantStack]:
    """The service, ready; stopped when the block is left.

    Raises:
        StackError: a part does not start.
    """
    stack = InstantStack(StackFolder(folder), Ports.free(), settings())
    with running(stack, StopRequest(), say_on_stderr):
        yield stack
