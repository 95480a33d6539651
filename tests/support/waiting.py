"""Wait for something that another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

BUSY = 4
"""How many times longer than on an idle machine everything may take: every wait gets its patience here."""


def wait_until(happened: Callable[[], bool], timeout_s: float = 30) -> None:
    """Return as soon as it has happened; fail if it never does.

    Args:
        timeout_s: more seconds than it takes on an idle machine.
    """
    deadline = time.monotonic() + BUSY * timeout_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
