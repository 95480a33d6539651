"""Wait for something that another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(happened: Callable[[], bool], patience_s: float = 30) -> None:
    """Return as soon as it has happened; fail if it never does."""
    deadline = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
