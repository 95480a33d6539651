"""Faults at random: each is injected into the running stack, and ended after a while."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from stack.parts import Parts

Fault = Callable[[], None]
Say = Callable[[str], None]
Sleep = Callable[[float], None]

PAUSE_S = (1, 5)
"""Seconds between two faults."""


class Faults:
    """Injects one fault after another.

    Args:
        parts: the stack.
        kinds: the faults, by name; each is over when it returns.
        choice: chooses the next one.
        say: takes a line about each fault.

    Attributes:
        done: number of faults by kind.
        died: number of restarts of each part that ended by itself.
    """

    def __init__(self, parts: Parts, kinds: Mapping[str, Fault], choice: random.Random, say: Say) -> None:
        self.done: Counter[str] = Counter()
        self.died: Counter[str] = Counter()
        self._parts = parts
        self._kinds = kinds
        self._choice = choice
        self._say = say

    def run(self, seconds: float, sleep: Sleep = time.sleep) -> None:
        """Inject faults for this many seconds.

        Raises:
            StackError: a part did not come back.
        """
        end = time.monotonic() + seconds
        for name in self._in_turn():
            sleep(self._choice.uniform(*PAUSE_S))
            if time.monotonic() > end:
                return
            begin = time.monotonic()
            self._kinds[name]()
            self.done[name] += 1
            self.died.update(died := self._parts.start_the_dead())
            restarted = f"   started again: {', '.join(died)}" if died else ""
            self._say(f"  {name:<28} {time.monotonic() - begin:5.1f} s{restarted}")

    def _in_turn(self) -> Iterator[str]:
        """Yield every kind in random order, then every kind again."""
        while True:
            yield from self._choice.sample(tuple(self._kinds), len(self._kinds))
