"""Reads adapters' files in processes of their own: whatever a file does to its reader, no other job meets it."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from socket import send_fds, socket, socketpair
from typing import IO, Any
from weakref import finalize

from tasks.errors import AdapterUnavailable, StokeholdError
from workers.activity import READ_BYTES_PER_S, Follower
from workers.adapters.reader_messages import UNCONFINED, Ended, ReadRequest
from workers.adapters.sandbox import Limits
from workers.adapters.shell import LoaderShell
from workers.adapters.transport import ReadingFailure, outcome_of
from workers.swap.parsed_adapter import Allocate, ParsedAdapter

logger = logging.getLogger(__name__)

PLACES = 4
"""How many files are read side by side."""
TRIES = 2
"""For a file whose reading ended with the server."""
NOTICE_S = 0.1
"""How soon it is noticed that a file is no longer wanted."""
START_S = 180.0
"""How long the server may take to import what it needs, on a busy machine."""
KILL_S = 5.0
"""How long a child may take to end that was killed; one that hangs in a driver or on a dead file system does not."""
MEMORY_BYTES, MEMORY_PER_BYTE = 1 << 30, 8
"""What a child may take, at least and by size of its file: the largest step is from float8 in a file to float32."""
COMPUTES = 0.1
"""A child that computed for a smaller part of its time waited for its disk, which is not its file's fault."""
MAX_DESCRIPTION_BYTES = 64 << 20
SERVER = (sys.executable, "-m", "workers.adapters.reader_server")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "HOME", "TMPDIR", "HF_HOME")
"""What the server gets of the worker's: no key, no token, no address."""


class ServerEnded(Exception):
    """The server ended while it had a request, or before."""


@dataclass(frozen=True)
class ServerProcess:
    """The process that reads files, on the way to its main loop or in it.

    Attributes:
        control: takes what it shall serve, as open files. It ends when this is closed.
        process: None where another process has started it.
    """

    control: socket
    process: subprocess.Popen[bytes] | None

    def send(self, *files: int) -> None:
        """Send it open files.

        Raises:
            ServerEnded: it does not take them.
        """
        try:
            send_fds(self.control, [b"\0"], files)
        except OSError as error:
            raise ServerEnded from error

    def end(self) -> None:
        """End it, and all that it does."""
        self.control.close()
        if self.process is not None:
            try:
                self.process.wait(KILL_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def launch() -> ServerProcess:
    """Start the process. It needs seconds to import what it needs, and takes requests at once.

    Raises:
        AdapterUnavailable: it cannot be started.
    """
    ours, theirs = socketpair()
    environment = {name: value for name in ENVIRONMENT if (value := os.environ.get(name)) is not None}
    # A fork would have copies of this process's secrets, of its locks and of its device.
    with theirs:
        try:
            process = subprocess.Popen(
                SERVER,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd=ROOT,
                env={**environment, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            )
        except OSError as error:
            raise AdapterUnavailable("The worker cannot start the process that reads adapters.") from error
    return ServerProcess(ours, process)


class AdapterReader:
    """Has files read, several side by side, each within its bounds. Thread-safe.

    Args:
        shell: the pipeline that they are read for.
        parse_s: seconds that a file may take, and more by its size.
        allocate: returns a block of this process's memory for the tensors.
        server: one that was started already; otherwise the first file starts one.
    """

    def __init__(
        self, shell: LoaderShell, *, parse_s: float, allocate: Allocate, server: ServerProcess | None = None
    ) -> None:
        self._shell = pickle.dumps(shell)
        self._parse_s = parse_s
        self._allocate = allocate
        self._places = threading.BoundedSemaphore(PLACES)
        self._lock = threading.Lock()
        self._server: ServerProcess | None = None
        if server is not None:
            with suppress(ServerEnded):
                self._use(server)

    def read(self, path: Path, ref: str, follower: Follower) -> ParsedAdapter | ReadingFailure:
        """Read a file; or return why that failed, if it was in the way in which the reading ended.

        Raises:
            AdapterLoadFailed: the file is broken, or was made for another base model.
            AdapterUnavailable: this machine cannot read it.
            LeaseLost, WorkerStopping: the follower does not want it any more.
        """
        with self._place(follower):
            for _ in range(TRIES):
                server = self._running_server()
                try:
                    return self._read_with(server, path, ref, follower)
                except ServerEnded:
                    logger.warning("the process that reads adapters ended before it had read adapter %r", ref)
                    self._let_go(server)
        raise AdapterUnavailable(f"The worker could not read adapter {ref!r}. Submit the job again later.")

    def stop(self) -> None:
        """End the server, and whatever it reads."""
        with self._lock:
            if self._server is not None:
                self._server.end()

    @contextmanager
    def _place(self, follower: Follower) -> Iterator[None]:
        while not self._places.acquire(timeout=NOTICE_S):
            follower.check_wanted()
            follower.note_progress()  # each of those before it is bounded
        try:
            yield
        finally:
            self._places.release()

    def _running_server(self) -> ServerProcess:
        with self._lock:
            try:
                return self._server or self._use(launch())
            except ServerEnded as error:
                raise AdapterUnavailable("The process that reads adapters does not start.") from error

    def _use(self, server: ServerProcess) -> ServerProcess:
        """Use this server from now on; it ends with this object at the latest.

        Raises:
            ServerEnded: it has ended already.
        """
        finalize(self, server.end)
        with nameless_file() as file:
            file.write(self._shell)
            file.flush()
            server.send(file.fileno())
        self._server = server
        return server

    def _let_go(self, server: ServerProcess) -> None:
        with self._lock:
            server.end()
            if self._server is server:
                self._server = None

    def _read_with(
        self, server: ServerProcess, path: Path, ref: str, follower: Follower
    ) -> ParsedAdapter | ReadingFailure:
        size = size_of(path, ref)
        seconds = self._parse_s + size / READ_BYTES_PER_S
        limits = Limits(MEMORY_BYTES + MEMORY_PER_BYTE * size, cpu_s=int(seconds) + 1)
        with nameless_file() as description, nameless_file() as block:
            connection, theirs = Pipe()
            with connection:
                with theirs:
                    connection.send(ReadRequest(path.absolute(), ref, limits))
                    server.send(theirs.fileno(), description.fileno(), block.fileno())
                ended = Reading(connection, seconds, follower).wait()
            if isinstance(ended, ReadingFailure):
                return ended
            if ended.code == UNCONFINED:
                raise AdapterUnavailable(f"The worker could not read adapter {ref!r}. Submit the job again later.")
            if ended.code:
                return failure_of(ended, limits)
            return self._outcome(description, block)

    def _outcome(self, description: IO[bytes], block: IO[bytes]) -> ParsedAdapter | ReadingFailure:
        memory = self._allocate(os.fstat(block.fileno()).st_size)
        block.seek(0)
        block.readinto(memory.numpy())  # type: ignore[attr-defined]
        description.seek(0)
        try:
            outcome = outcome_of(description.read(MAX_DESCRIPTION_BYTES), memory)
        except pickle.UnpicklingError:
            logger.exception("what the child has read is not understood")
            return ReadingFailure.CRASHED
        if isinstance(outcome, StokeholdError):
            raise outcome
        return outcome


class Reading:
    """The reading of a file by a child, as the thread that waits for it sees it. It ends when the connection is closed.

    Args:
        seconds: that it may take.
    """

    def __init__(self, connection: Connection[Any, Any], seconds: float, follower: Follower) -> None:
        self._connection = connection
        self._seconds = seconds
        self._follower = follower

    def wait(self) -> Ended | ReadingFailure:
        """Wait until it ends, and end it when it has taken too long.

        Raises:
            ServerEnded: the server has ended.
            LeaseLost, WorkerStopping: the follower does not want it any more.
        """
        if self._message(START_S) is None:
            raise ServerEnded
        self._follower.note_progress()
        ended: Ended | None = self._message(self._seconds)
        if ended is not None:
            return ended
        self._connection.send(None)  # the server takes anything as: kill it
        ended = self._message(KILL_S)
        computed = ended is not None and ended.cpu_s > COMPUTES * self._seconds
        return ReadingFailure.HUNG if computed else ReadingFailure.STUCK

    def _message(self, seconds: float) -> Any:
        """The next message; None if there is none within this time."""
        end_at = time.monotonic() + seconds
        try:
            while not self._connection.poll(NOTICE_S):
                self._follower.check_wanted()
                if time.monotonic() > end_at:
                    return None
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise ServerEnded from error


def failure_of(ended: Ended, limits: Limits) -> ReadingFailure:
    """Return why a child ended that wrote down nothing."""
    if ended.cpu_s >= limits.cpu_s:
        return ReadingFailure.HUNG
    if ended.code == -signal.SIGKILL:
        return ReadingFailure.KILLED
    return ReadingFailure.MEMORY if ended.code == -signal.SIGXFSZ else ReadingFailure.CRASHED


def size_of(path: Path, ref: str) -> int:
    """Size of a file, in bytes.

    Raises:
        AdapterUnavailable: it is not there.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise AdapterUnavailable(f"The worker cannot read the file of adapter {ref!r}. Submit again.") from error


def nameless_file() -> IO[bytes]:
    """A file in memory that has no name, or on disk where the system has none such."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stokehold"), "w+b")
    return tempfile.TemporaryFile()
