"""How a worker that is told to end learns of it."""

from __future__ import annotations

import threading
from queue import SimpleQueue


class Stops:
    """What a first SIGTERM means, and what a second one does.

    Attributes:
        soon: told once: what has the pipeline is finished, what only waits for it goes back.
        now: told twice: what is being drawn goes back, too.
    """

    def __init__(self) -> None:
        self.soon, self.now = threading.Event(), threading.Event()
        self._told: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._run, name="stops", daemon=True).start()

    def told_to_end(self) -> None:
        """Tell it. May be called in a signal handler that interrupts another; ``Event.set``, which locks, may not."""
        self._told.put(None)

    def _run(self) -> None:
        for event in (self.soon, self.now):
            self._told.get()
            event.set()
