"""Write a history while it happens, line by line, from many threads; and read it again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock

from stack.history.event import Answer, Event, Phase, Request


@dataclass(frozen=True)
class Caller:
    """A client, and whose API key it sends."""

    name: str
    owner: str


@dataclass(frozen=True)
class Outcome:
    """The outcome of an operation; the fields are those of an event."""

    phase: Phase
    answer: Answer | None = None
    status: int | None = None
    code: str | None = None


class Recorder:
    """Appends events to a file of JSON lines. Its clock is the machine's monotonic one.

    Args:
        path: of the file, which is overwritten.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", buffering=1)
        self._numbers = count(1)
        self._lock = Lock()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def invoke(self, caller: Caller, request: Request) -> int:
        """Record that an operation begins, and return its number."""
        number = next(self._numbers)
        self._write(number, caller, Outcome(Phase.INVOKE), request)
        return number

    def end(self, number: int, caller: Caller, outcome: Outcome) -> None:
        """Record the outcome of an operation."""
        self._write(number, caller, outcome)

    def saw(self, caller: Caller, request: Request, answer: Answer | None = None) -> None:
        """Record an event of this moment that no client has requested."""
        self.end(self.invoke(caller, request), caller, Outcome(Phase.OK, answer))

    def _write(self, number: int, caller: Caller, outcome: Outcome, request: Request | None = None) -> None:
        event = Event(
            operation=number,
            client=caller.name,
            owner=caller.owner,
            at=time.monotonic(),
            phase=outcome.phase,
            request=request,
            answer=outcome.answer,
            status=outcome.status,
            code=outcome.code,
        )
        line = event.model_dump_json(exclude_none=True)
        with self._lock:
            self._file.write(f"{line}\n")


def read_history(path: Path) -> Iterator[Event]:
    """The events of a file.

    Raises:
        OSError: it cannot be read.
        ValidationError: a line is not an event.
    """
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Event.model_validate_json(line)
