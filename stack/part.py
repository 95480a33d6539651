"""The description of a part for the supervisor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """One child process of the stack.

    Attributes:
        name: also the name of its log.
        command: program and arguments.
        is_ready: tells whether the process of this id is ready; called repeatedly after the start.
        says: a line for the user, e.g. where it listens.
        environment: variables that it gets in addition to those of the stack.
        ready_within_s: seconds that it may take to become ready.
        grace_s: seconds that it may take to end after SIGTERM; then it is killed.
        leftovers: files outside the stack's folder that it leaves behind when it is killed.
    """

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[int], bool]
    says: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_within_s: float = 120
    grace_s: float = 10
    leftovers: tuple[Path, ...] = ()
