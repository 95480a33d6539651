"""The API, whose whole process group is killed between a job's record and its message: ``tests.support.dying_api``."""

from __future__ import annotations

import os
import signal
from typing import Any

from api import create_app
from tasks.lanes.queues import JobQueues

__all__ = ["create_app"]


def die(*_: Any) -> None:
    """Lose power."""
    os.killpg(0, signal.SIGKILL)


JobQueues.send = die  # type: ignore[assignment, method-assign]
