"""Processes that read adapters, without the wait: one imports torch and diffusers, and each is forked from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from socket import recv_fds, send_fds, socket, socketpair

from tests.support.up import ROOT
from workers.adapters.reader import ServerProcess
from workers.adapters.reader_server import serve


class ReaderNursery:
    """Where they are forked."""

    def __init__(self) -> None:
        self._control, theirs = socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.reader_nursery"], cwd=ROOT, stdin=theirs.fileno()
            )

    def launch(self) -> ServerProcess:
        """As ``workers.adapters.reader.launch``."""
        ours, theirs = socketpair()
        with theirs:
            send_fds(self._control, [b"\0"], [theirs.fileno()])
        return ServerProcess(ours, None)

    def close(self) -> None:
        """Fork no more."""
        self._control.close()
        self._process.wait()


def main() -> None:
    """Fork a server for each socket that comes, until the test run ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket(fileno=sys.stdin.fileno()) as control:
        while files := recv_fds(control, 1, 1)[1]:
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.dup2(files[0], sys.stdin.fileno())
                os.close(files[0])
                serve(socket(fileno=os.dup(sys.stdin.fileno())))
                os._exit(0)
            os.close(files[0])


if __name__ == "__main__":
    main()
