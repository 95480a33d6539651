"""The process that reads adapters' files: it has a pipeline without weights, and forks a child for each file.

``python -m workers.adapters.reader_server`` serves the worker at the other end of its standard input, and ends with it.
It uses no device and has one thread, so that it can fork; and it reads no file itself.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import selectors
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch

from tasks.errors import AdapterLoadFailed, StokeholdError
from workers.adapters.parser import parse_adapter
from workers.adapters.reader_messages import UNCONFINED, Begun, Ended, ReadRequest
from workers.adapters.sandbox import confine, end_with_parent
from workers.adapters.shell import LoaderShell
from workers.adapters.transport import Outcome, ReadingFailure, SharedBlock, describe
from workers.base.device import first_line, is_out_of_memory

logger = logging.getLogger(__name__)

STDERR = 2
REQUEST_FILES = 3
"""That come with each request: the connection, and where the child puts the description and the tensors."""


@dataclass(frozen=True)
class Child:
    """A process that reads a file.

    Attributes:
        connection: to the thread that waits for it. Anything that comes from there means that it waits no longer.
        alive: a pipe whose other end the child alone has.
    """

    pid: int
    connection: Connection[Any, Any]
    alive: int


class ReaderServer:
    """Forks children and waits for them. On one thread."""

    def __init__(self, control: socket.socket, shell: LoaderShell) -> None:
        self._control = control
        self._shell = shell
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._accept)
        self._serves = True

    def run(self) -> None:
        """Serve until the worker ends. Children end with this process."""
        while self._serves:
            for key, _ in self._selector.select():
                if key.fileobj in self._selector.get_map():  # unless it was let go for one before it
                    key.data()

    def _accept(self) -> None:
        _, files, _, _ = socket.recv_fds(self._control, 1, REQUEST_FILES)
        if len(files) < REQUEST_FILES:
            self._serves = False
            return
        connection: Connection[Any, Any] = Connection(files[0])
        try:
            with suppress(EOFError, OSError):  # it waits no longer
                self._begin(connection, *files[1:])
        finally:
            for file in files[1:]:
                os.close(file)

    def _begin(self, connection: Connection[Any, Any], description: int, block: int) -> None:
        request: ReadRequest = connection.recv()
        alive, held = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            keep_open(STDERR, description, block, held)
            be_child(self._shell, request, description, SharedBlock(block), parent)
        os.close(held)
        child = Child(pid, connection, alive)
        self._selector.register(alive, selectors.EVENT_READ, partial(self._end, child))
        self._selector.register(connection, selectors.EVENT_READ, partial(self._kill, child))
        connection.send(Begun())

    def _kill(self, child: Child) -> None:
        os.kill(child.pid, signal.SIGKILL)
        self._selector.unregister(child.connection)

    def _end(self, child: Child) -> None:
        _, status, usage = os.wait4(child.pid, 0)
        self._selector.unregister(child.alive)
        os.close(child.alive)
        with suppress(KeyError):
            self._selector.unregister(child.connection)
        with child.connection, suppress(OSError):
            child.connection.send(Ended(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime))


def keep_open(*files: int) -> None:
    """Close every other file of this process."""
    edges = [-1, *sorted(files), os.sysconf("SC_OPEN_MAX")]
    for before, after in pairwise(edges):
        os.closerange(before + 1, after)


def be_child(shell: LoaderShell, request: ReadRequest, description: int, block: SharedBlock, parent: int) -> NoReturn:
    """Read a file, write down what came of it, and end this process, which is good for nothing else any more."""
    code = UNCONFINED
    try:
        end_with_parent(parent)
        confine(request.path, request.limits)
        code = 1
        with os.fdopen(description, "wb", closefd=False) as file:
            file.write(describe(outcome(shell, request, block)))
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)


def outcome(shell: LoaderShell, request: ReadRequest, block: SharedBlock) -> Outcome:
    """Read the file; return what it says, or why that cannot be known."""
    try:
        return parse_adapter(shell, request.path, request.ref, allocate=block.allocate)
    except Exception as error:
        if any(map(is_out_of_memory, causes(error))):
            return ReadingFailure.MEMORY
        if isinstance(error, StokeholdError):
            return error
        logger.exception("adapter %r was not read", request.ref)
        return AdapterLoadFailed(f"Adapter {request.ref!r} cannot be read: {first_line(error)}")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def serve(control: socket.socket) -> None:
    """Take a shell from a worker, and read files for it until it ends.

    Signals do not end this process, since they are often sent to both.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.backends.cpu.get_cpu_capability()  # asks the system, which no child may
    _, files, _, _ = socket.recv_fds(control, 1, 1)
    if not files:
        return
    with os.fdopen(files[0], "rb") as file:
        file.seek(0)
        shell: LoaderShell = pickle.load(file)
    gc.freeze()  # so that children do not copy memory only to count references
    ReaderServer(control, shell).run()


if __name__ == "__main__":
    serve(socket.socket(fileno=sys.stdin.fileno()))
