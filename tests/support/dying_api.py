"""The API, whose whole process group is killed between a job's record and its message: ``tests.support.dying_api``."""

from __future__ import annotations

import os
import signal
from typing import Any

import tasks.jobs.submission
from api import create_app

__all__ = ["create_app"]


def die(*_: Any) -> None:
    """Lose power."""
    os.killpg(0, signal.SIGKILL)


tasks.jobs.submission.send = die  # type: ignore[attr-defined, assignment]
