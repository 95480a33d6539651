"""The messages between a worker and the process that reads adapters' files for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workers.adapters.sandbox import Limits

UNCONFINED = 2
"""With this code a child ends that could not be confined, and so has not looked at its file."""


@dataclass(frozen=True)
class ReadRequest:
    """A file to be read.

    Attributes:
        ref: of the adapter, as its job's client wrote it.
    """

    path: Path
    ref: str
    limits: Limits


@dataclass(frozen=True)
class Begun:
    """The child is there."""


@dataclass(frozen=True)
class Ended:
    """The child has ended.

    Attributes:
        code: as ``os.waitstatus_to_exitcode`` has it: the number of a signal is negative.
        cpu_s: seconds that it computed.
    """

    code: int
    cpu_s: float
