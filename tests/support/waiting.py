"""Wait for something that another process or thread does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

BUSY = float(os.environ.get("TEST_BUSY", "4"))
"""How many times longer than on an idle machine everything may take: ``TEST_BUSY=10 scripts/test``."""


def patience(seconds: float) -> float:
    """Return the bound of a wait, in seconds: every bounded wait of a test has it from here.

    Args:
        seconds: more than it takes on an idle machine.
    """
    return BUSY * seconds


def wait_until(happened: Callable[[], bool], timeout_s: float = 30) -> None:
    """Return as soon as it has happened; fail if it never does.

    Args:
        timeout_s: more seconds than it takes on an idle machine.
    """
    deadline = time.monotonic() + patience(timeout_s)
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
