"""What the supervisor needs to know of a part."""

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
        is_ready: whether the process of this id does its work; asked again and again after the start.
        says: what a user wants to know of it, e.g. where it listens.
        environment: variables that it gets besides our own.
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
