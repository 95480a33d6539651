"""Requests to end the attempts of a worker: by a signal, or because a job was canceled."""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import closing
from queue import SimpleQueue

from tasks.errors import ValkeyUnavailable
from tasks.jobs.keyspace import CANCELED
from tasks.valkey import Valkey, valkey_errors

logger = logging.getLogger(__name__)


class Shutdown:
    """Requests to shut down: gracefully after a first SIGTERM, immediately after a second.

    Attributes:
        graceful: requested once: a job that has the pipeline is finished, one that only waits for it is requeued.
        immediate: requested twice: a job that is being drawn is requeued, too.
    """

    def __init__(self) -> None:
        self.graceful, self.immediate = threading.Event(), threading.Event()
        self._requests: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._run, name="shutdown", daemon=True).start()

    def request_shutdown(self) -> None:
        """Request a shutdown, from any signal handler: unlike ``Event.set``, this takes no lock."""
        self._requests.put(None)

    def _run(self) -> None:
        for event in (self.graceful, self.immediate):
            self._requests.get()
            event.set()


REMEMBERED = 1000


LISTEN_S = 0.5
"""Seconds until the thread notices that it shall end."""


AGAIN_S = 1.0


class Cancellations:
    """A thread that listens for canceled jobs while the worker lives.

    An announcement is missed while Valkey is unavailable: a drawing then learns of it when it reports its progress.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._canceled: deque[str] = deque(maxlen=REMEMBERED)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cancellations", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stopped.set()
        self._thread.join()

    def __contains__(self, job_id: str) -> bool:
        return job_id in tuple(self._canceled)  # a copy, because the thread may append at the same time

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except ValkeyUnavailable as error:
                logger.warning("cancellations are delayed: %s", error)
                self._stopped.wait(AGAIN_S)

    def _listen(self) -> None:
        subscription = self._valkey.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        with valkey_errors(), closing(subscription) as announced:
            announced.subscribe(CANCELED)
            while not self._stopped.is_set():
                message = announced.get_message(timeout=LISTEN_S)
                if message is not None:
                    self._canceled.append(message["data"])
