"""A process whose interpreter is held ends, although the watchdog cannot run."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

from tests.support.up import ROOT
from tests.support.waiting import patience

HELD_AT_ONCE = dedent("""
    import ctypes
    from typing import Any

    from workers.run.running import RunningAttempts
    from workers.run.shutdown import Shutdown
    from workers.run.watchdog import Watchdog
    from workers.run.worker_exit import WorkerExit

    none: Any = None
    Watchdog(RunningAttempts(), none, Shutdown(), WorkerExit(none, none), stall_s=0.2, period_s=10**6).start()
    ctypes.PyDLL(None).sleep(10**6)
""")


def test_an_interpreter_that_is_held_before_the_first_look_ends_its_process() -> None:
    held = subprocess.run(
        [sys.executable, "-c", HELD_AT_ONCE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(30),
        check=False,
    )

    assert held.returncode == 1, held.stderr
    assert "Timeout (0:00:00.4" in held.stderr
