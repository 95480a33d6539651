"""Objects put by a process of their own, for a program whose own Python code should not wait for it.

To sign and send an object, boto3 runs Python code for about 3 ms, in which no other thread of its process runs any.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from multiprocessing import get_context, parent_process
from multiprocessing.managers import BaseManager

from storage.config import S3Config
from storage.errors import StorageNotReachable
from storage.s3 import S3Storage
from storage.stored_object import StoredObject


class PutProcess(BaseManager):
    """The other process. It has a thread for each thread that calls it."""


PutProcess.register("storage", S3Storage, exposed=("put",))


class S3StorageWithPutProcess(S3Storage):
    """As ``S3Storage``, but ``put`` is done by another process, which ends with this one.

    Raises:
        StorageMisconfigured: as by ``S3Storage``.
    """

    def __init__(self, config: S3Config) -> None:
        super().__init__(config)
        self._restarting = threading.Lock()
        self._start()

    def put(
        self, key: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        """Let the other process put an object.

        Raises:
            StorageError: the object was not stored.
            StorageNotReachable: the process had ended; there is a new one now.
        """
        remote = self._remote
        try:
            return remote.put(key, body, content_type=content_type, metadata=metadata)
        except (EOFError, OSError) as error:
            with self._restarting:
                if self._remote is remote:
                    self._start()
            raise StorageNotReachable("The process that puts objects into storage has ended. Try again.") from error

    def _start(self) -> None:
        # A fork would have copies of this process's locks and of its device.
        self._process = PutProcess(ctx=get_context("spawn"))
        try:
            self._process.start(initializer=end_with_parent)
            self._remote: S3Storage = self._process.storage(self._config)  # type: ignore[attr-defined]
        except (EOFError, OSError) as error:
            raise StorageNotReachable(
                f"The process that puts objects into storage does not start ({error}). Is there memory for it?"
            ) from error


def end_with_parent() -> None:
    """Let this process end with its parent, however that ends, and not sooner: signals are often sent to both."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
