"""Run the whole service until Ctrl-C: ``scripts/up``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stack.errors import StackError, StopAsked
from stack.folder import StackFolder
from stack.local_stack import LocalStack, running
from stack.ports import FIRST_PORTS, Ports
from stack.stop_request import StopRequest
from stack.supervisor import say_now
from storage import StorageError
from tasks.errors import StokeholdError
from tasks.settings import settings

FIRST_PORT = 8000

READY = """
Ready: {api}    Its documentation: {api}/docs    Logs: {logs}/    Stop with Ctrl-C.

Submit a job, then open the Location that it answers:

  curl -i {api}/v1/jobs -H 'Content-Type: application/json' -d '{{"prompt": "a red circle on a blue background"}}'
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Start every part, say where the API listens, and stop in order when asked.

    Raises:
        SystemExit: a part did not start or died; the message says which and what to do.
    """
    parser = argparse.ArgumentParser(prog="stokehold up", description="Run the whole service on this machine.")
    parser.add_argument(
        "--port", type=first_port, default=FIRST_PORT, help="of the API; the other parts take those after it"
    )
    parser.add_argument("--folder", type=Path, default=Path("var"), help="where data and logs are kept")
    options = parser.parse_args(arguments)
    stop = StopRequest()
    stop.heed_signals()
    try:
        run(LocalStack(StackFolder(options.folder), Ports.block(options.port), settings()), stop)
    except StopAsked as asked:
        say_now(f"stokehold: {asked}")
    except (StackError, StokeholdError, StorageError) as error:
        sys.exit(f"stokehold: {error}")


def first_port(text: str) -> int:
    """The first port of a block, from the command line.

    Raises:
        ArgumentTypeError: the block does not fit below 65536.
    """
    if not text.isdecimal() or int(text) not in FIRST_PORTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from {FIRST_PORTS.start} to {FIRST_PORTS.stop - 1}")
    return int(text)


def run(stack: LocalStack, stop: StopRequest) -> None:
    """Run a stack until the user wants to stop.

    Raises:
        StackError, StokeholdError, StorageError: a part did not start, or died.
    """
    say_now("Starting:")
    with running(stack, stop) as supervisor:
        say_now(READY.format(api=stack.api, logs=stack.folder.log_folder))
        supervisor.watch()


if __name__ == "__main__":
    main()
