"""Worker processes without the wait: one process imports torch and diffusers, each worker is forked from there.

``python -m tests.support.nursery`` reads a line of JSON, a folder and environment variables, and answers with the
process id of a worker that has these and keeps its log and its gates in the folder.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path

import celery.bin.worker
import diffusers

import workers.worker
from tests.support.gates import install

NEEDED = (celery.bin.worker, workers.worker, diffusers.StableDiffusionPipeline)
"""What each worker would import, but for what reads the settings."""


def main() -> None:
    """Fork a worker for each line until the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies: a worker that was killed is gone
    say("ready")
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            folder, environment = json.loads(line)
            os.environ.update(environment)
            become_worker(Path(folder))
        say(str(pid))


def become_worker(folder: Path) -> None:
    """Be the worker from now on, until it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    install(folder)
    try:
        from workers.__main__ import main as work  # reads the settings

        work(["--base", "demo"])
    finally:
        if sys.exc_info()[1]:
            traceback.print_exc()
        logging.shutdown()
        os._exit(1 if sys.exc_info()[1] else 0)


def say(line: str) -> None:
    """Answer the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
