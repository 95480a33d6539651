"""A light worker that is killed in the middle: ``python -m tests.support.dying_light_worker``.

For each number on the input it forks a process that advances batches until it has taken so many steps in Valkey and in
storage, and then ends as by ``kill -9``: for an even number before the last step is taken, for an odd one behind it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from storage import S3Storage
from tasks.batches import expansion
from tasks.celery import app
from tasks.valkey import Valkey
from tests.support.batches import advance_batches

WINDOW = 20
"""So small that the deaths meet every step of a round."""


def main() -> None:
    """Let a process die for each line until the input ends."""
    service, expansion.WINDOW = app.service, WINDOW
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            mark_death(int(line))
            while True:
                advance_batches(service)
        os.waitpid(pid, 0)
        sys.stdout.write("dead\n")
        sys.stdout.flush()


def mark_death(last: int) -> None:
    """Die at the step of this number."""
    taken = 0

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken == last and last % 2 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = step(*arguments, **options)
            if taken == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return counting

    for kind, name in ((Valkey, "execute_command"), (S3Storage, "put"), (S3Storage, "upload"), (S3Storage, "get")):
        setattr(kind, name, counted(getattr(kind, name)))


if __name__ == "__main__":
    main()
