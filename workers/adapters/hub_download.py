"""Downloads from the Hub: bounded, checked, and shared by the attempts that want the same file."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory

from tasks.adapters.file.version import file_sha256
from tasks.errors import AdapterUnavailable, WorkerStopping
from workers.activity import NoteProgress

SHA256 = re.compile("[0-9a-f]{64}")


GIT_BLOB = re.compile("[0-9a-f]{40}")


def is_damaged(path: Path) -> bool:
    """Return whether a downloaded file is another than the Hub named before it sent it.

    The client checks the length alone. Its cache links each file to a blob that is named by the Hub's ETag: of a large
    file the SHA-256, of a small one git's own digest. Where the cache has no links, nothing is known.

    Raises:
        OSError: the file cannot be read.
    """
    if not path.is_symlink():
        return False
    name = path.readlink().name
    if SHA256.fullmatch(name):
        return file_sha256(path.resolve()) != name
    return GIT_BLOB.fullmatch(name) is not None and git_digest(path.read_bytes()) != name


def git_digest(content: bytes) -> str:
    """The name that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


NOTICE_S = 0.1
"""How soon it is noticed that a download must not go on."""


Result = TypeVar("Result")


@dataclass(frozen=True)
class DownloadBounds:
    """Time limits of an adapter's download.

    Attributes:
        bytes_per_s: the least rate, on average since the beginning.
        grace_s: seconds before which the rate does not count.
        stopping: the worker shuts down, and waits for no download.
    """

    bytes_per_s: float = 128 << 10
    grace_s: float = 30.0
    stopping: threading.Event = field(default_factory=threading.Event)


class DownloadWatch:
    """One download within its bounds, its retries included.

    Args:
        note_progress: called at each part that comes.
    """

    def __init__(
        self,
        bounds: DownloadBounds,
        note_progress: NoteProgress = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounds = bounds
        self._note_progress = note_progress
        self._clock = clock
        self._begin = clock()
        self._size = 0

    def expect(self, size: int) -> None:
        """Allow the time for a file of this many bytes."""
        self._size = size

    def check(self) -> None:
        """See whether the download may go on.

        Raises:
            AdapterUnavailable: it took too long.
            WorkerStopping: the worker shuts down.
        """
        self._require(self._size)

    def counted(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        """The parts of an answer, as long as they come fast enough.

        Raises:
            AdapterUnavailable, WorkerStopping: as ``check`` does.
        """
        received = 0
        for part in parts:
            received += len(part)
            self._require(received)
            self._note_progress()
            yield part

    def _require(self, received: int) -> None:
        if self._bounds.stopping.is_set():
            raise WorkerStopping("The worker is shutting down while it fetches an adapter.")
        seconds = self._clock() - self._begin
        if seconds > self._bounds.grace_s + received / self._bounds.bytes_per_s:
            raise AdapterUnavailable(
                f"This adapter is sent too slowly: it is incomplete after {seconds:.0f} s. Submit the job again later."
            )


watching: ContextVar[DownloadWatch | None] = ContextVar("watching", default=None)
"""The download of this thread."""


class WatchedStream(httpx2.SyncByteStream):
    """The content of an answer to a download that is watched."""

    def __init__(self, stream: httpx2.SyncByteStream, watch: DownloadWatch) -> None:
        self._stream = stream
        self._watch = watch

    def __iter__(self) -> Iterator[bytes]:
        return self._watch.counted(iter(self._stream))

    def close(self) -> None:
        """Close the connection behind it."""
        self._stream.close()


def watched(watch: DownloadWatch, step: Callable[[], Result]) -> Result:
    """Let the Hub's client take a step of a download, and wait for it as long as the bounds allow.

    Raises:
        AdapterUnavailable, WorkerStopping: as ``DownloadWatch.check`` does.
        Exception: whatever the step raises.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        watching.set(watch)
        try:
            outcome.set_result(step())
        except BaseException as error:  # noqa: BLE001 (raised where it is waited for)
            outcome.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), name="hub-download", daemon=True).start()
    while not wait([outcome], NOTICE_S).done:
        watch.check()
    return outcome.result()


def watched_client() -> httpx2.Client:
    """The usual client of ``huggingface_hub``, which looks after each request and part whether it may go on."""

    def before(_: httpx2.Request) -> None:
        if (watch := watching.get()) is not None:
            watch.check()

    def after(response: httpx2.Response) -> None:
        if (watch := watching.get()) is not None and isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = WatchedStream(response.stream, watch)

    client = default_client_factory()
    hooks = client.event_hooks
    client.event_hooks = {"request": [before, *hooks["request"]], "response": [*hooks["response"], after]}
    return client


set_client_factory(watched_client)  # for this process once: a second client would close the connections of the first
