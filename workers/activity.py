"""Stall detection: an attempt that makes no progress for too long is overdue, whichever stage it is in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tasks.jobs.job import JobSpec

SLOWER = 20
"""Multiple of its measured time after which a step counts as no progress."""
RELOADS = 4
"""Multiple of the first loading time that a reload of the base may take, where a swap finds one necessary."""
READ_BYTES_PER_S = 8 << 20
"""Lowest rate at which an adapter is read and parsed, or an image sent, in bytes a second; downloads report parts."""
END_SHARE = 4
"""A canceled drawing may go on for this fraction (1 / n) of the time after which it would count as stalled."""

NoteProgress = Callable[[], None]
"""Reports progress."""


class Follower(Protocol):
    """Follows work that is done for it. Whatever it raises ends that work."""

    def note_progress(self) -> None:
        """Called at each progress."""

    def check_wanted(self) -> None:
        """Called again and again while there is none."""


class Unfollowed:
    """Follows work that no job waits for."""

    def note_progress(self) -> None:
        """Nothing to note."""

    def check_wanted(self) -> None:
        """Always wanted."""


class Phase(StrEnum):
    """The phase of an attempt, as its job's record may say it."""

    WAITING = "waiting"
    """It waits for the device, behind others, which are watched themselves."""
    PREPARING = "fetching and reading its adapters"
    SWAPPING = "merging its adapters"
    DRAWING = "drawing"
    PUBLISHING = "storing its images"
    TESTING = "its worker tested itself"

    @property
    def has_device(self) -> bool:
        """Return whether the thread that uses the device works for it."""
        return self in (Phase.SWAPPING, Phase.DRAWING, Phase.TESTING)


@dataclass(frozen=True)
class Bounds:
    """Time limits of an attempt.

    Attributes:
        stall_s: seconds without progress, at least.
        attempt_s: seconds for the whole attempt without waiting, at least.
        storage_s: seconds for which storage may be silent.
        parse_s: seconds that parsing an adapter may take, and more by its size.
        max_adapter_bytes: the size of an adapter for which none is known.
        pixel_step_s: seconds for a step by pixel, as this device drew its known image.
        load_s: seconds that loading the base took: a swap may find that it must be loaded again.
    """

    stall_s: float
    attempt_s: float
    storage_s: float
    pixel_step_s: float = 0.0
    load_s: float = 0.0
    parse_s: float = 0.0
    max_adapter_bytes: int = 0

    def step_s(self, spec: JobSpec, images: int) -> float:
        """Return the seconds after which a step that draws this many images counts as no progress."""
        return max(self.stall_s, SLOWER * self.pixel_step_s * spec.width * spec.height * images)

    def read_s(self, size: int) -> float:
        """Return the seconds after which reading or sending this many bytes counts as no progress."""
        return self.stall_s + self.storage_s + size / READ_BYTES_PER_S

    def prepare_s(self, spec: JobSpec) -> float:
        """Seconds after which fetching and reading its adapters counts as no progress."""
        size = sum(scaled.adapter.size_bytes or self.max_adapter_bytes for scaled in spec.adapters)
        return self.parse_s + self.read_s(size)

    @property
    def swap_s(self) -> float:
        """Seconds after which a swap counts as no progress."""
        return self.stall_s + RELOADS * self.load_s

    def max_s(self, spec: JobSpec, images: int) -> float:
        """Seconds for a whole attempt without waiting."""
        return max(self.attempt_s, SLOWER * self.pixel_step_s * spec.pixel_steps * images)


class Activity:
    """The progress of an attempt, and its deadline for the next. One thread reports it, others read it.

    Args:
        max_s: seconds for the whole attempt without waiting.
    """

    def __init__(self, max_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._max_s = max_s
        self._waited_s = 0.0
        self._began = self._moved = clock()
        self._allowed_s = 0.0
        self._told: float | None = None
        self.phase = Phase.WAITING

    def note_progress(self) -> None:
        """Report progress in the present phase."""
        now = self._clock()
        if self.phase is Phase.WAITING:
            self._waited_s += now - self._moved
        self._moved = now

    def begin(self, phase: Phase, allowed_s: float) -> None:
        """Report that another phase begins.

        Args:
            allowed_s: seconds without progress before it is overdue; waiting is never.
        """
        self.note_progress()
        self.phase, self._allowed_s = phase, allowed_s

    def wait(self) -> None:
        """Report that it waits for its turn."""
        self.begin(Phase.WAITING, 0)

    def request_end(self) -> None:
        """Note that its result is not needed any more."""
        if self._told is None:
            self._told = self._clock()

    def overdue(self) -> str | None:
        """Return the phase that took too long; None if none did."""
        now, phase = self._clock(), self.phase
        if phase is Phase.WAITING:
            return None
        if now - self._moved > self._allowed_s:
            return f"no progress for {now - self._moved:.0f} s while {phase}"
        if now - self._began - self._waited_s > self._max_s:
            return f"no end after {now - self._began - self._waited_s:.0f} s, while {phase}"
        told = self._told
        if told is not None and phase is Phase.DRAWING and now - max(told, self._moved) > self._allowed_s / END_SHARE:
            return f"no end {now - told:.0f} s after it was canceled, while {phase}"
        return None
