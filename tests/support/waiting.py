"""Wait for something that another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 30


def wait_until(happened: Callable[[], bool]) -> None:
    """Return as soon as it has happened; fail if it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
