"""The exit of a worker by itself."""

from __future__ import annotations

from workers.run.shutdown import Shutdown
from workers.run.worker_exit import ExitCode, WorkerExit


def test_who_leaves_takes_no_more_jobs_is_told_once_and_keeps_its_first_reason() -> None:
    told, ended, shutdown = list[str](), list[int](), Shutdown()
    worker_exit = WorkerExit(shutdown, lambda: told.append("told"), ended.append)

    worker_exit.exit_gracefully(ExitCode.UNHEALTHY)
    worker_exit.exit_gracefully(ExitCode.STALLED)
    worker_exit.exit_immediately(ExitCode.STALLED)

    assert shutdown.graceful.is_set()
    assert (told, ended) == (["told"], [69])
