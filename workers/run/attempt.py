"""One attempt at a job: what it reports to the job store, and when it must end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from tasks.errors import LeaseLost, ValkeyUnavailable, WorkerStopping
from tasks.jobs.job import Job, Progress
from tasks.jobs.store import JobStore
from workers.activity import Activity, Bounds, Phase
from workers.run.shutdown import Cancellations, Shutdown
from workers.stages.stopwatch import Stopwatch

logger = logging.getLogger(__name__)

PROGRESS_PERIOD_S = 0.25
STORE_AGAIN_S = 0.5

Outcome = TypeVar("Outcome")


class Attempt:
    """A claimed job in the hands of its worker.

    Args:
        bounds: its time limits.
        awake: seconds that this process was running.
        images: number of images that a step draws, those of other jobs in the same pass included.

    Attributes:
        activity: its progress.
        is_ended: it stalled and was ended by the watchdog; its thread may not know yet.
        has_lost_lease: the heartbeat found so; its thread notices at its next step in the store.
    """

    def __init__(
        self,
        store: JobStore,
        cancellations: Cancellations,
        shutdown: Shutdown,
        job: Job,
        *,
        bounds: Bounds,
        images: int = 1,
        awake: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._cancellations = cancellations
        self._shutdown = shutdown
        self._clock = clock
        self._reported = clock() - PROGRESS_PERIOD_S
        self._waits = False
        self._bounds = bounds
        self._images = images
        self.job = job
        self.activity = Activity(bounds.max_s(job.spec, images), awake)
        self.is_ended = self.has_lost_lease = False
        self.stopwatch = Stopwatch(queued_seconds(job))

    def note_waiting(self, waits: bool) -> None:
        """Tell the store whether another job is drawn now: if the worker dies, that job counts the attempt.

        Raises:
            LeaseLost: another attempt owns the job, or it was canceled.
        """
        if waits:
            self.activity.wait()
        else:
            self.activity.begin(Phase.SWAPPING, self._bounds.swap_s)
        if waits is self._waits:
            return
        try:
            self._store.renew(self.job.lease, waits=waits)
        except ValkeyUnavailable as error:
            logger.warning("that it waits is not noted: %s", error)
        self._waits = waits

    def check_needed(self) -> None:
        """Stop if the job was canceled or the worker shuts down.

        Raises:
            LeaseLost: the job was canceled.
            WorkerStopping: the worker shuts down.
        """
        self.note_progress()
        self.check_wanted()

    def note_progress(self) -> None:
        """As ``Activity.note_progress``."""
        self.activity.note_progress()

    def check_wanted(self) -> None:
        """As ``check_needed``, which counts as progress.

        Raises:
            LeaseLost: the job was canceled, or belongs to another attempt.
            WorkerStopping: the worker shuts down.
        """
        self._refuse_canceled()
        if self.has_lost_lease:
            raise LeaseLost(f"Attempt {self.job.attempt} has lost job {self.job.id}.")
        if self._shutdown.graceful.is_set():
            raise WorkerStopping("The worker is shutting down while this job waits for the pipeline.")

    def report(self, progress: Progress) -> None:
        """Check whether the job was canceled, and report the progress to the store, at most four times a second and at
        the last step.

        Raises:
            LeaseLost: the job was canceled, or another attempt owns it.
            WorkerStopping: the worker shuts down immediately.
        """
        self.activity.note_progress()
        if self._shutdown.immediate.is_set():
            raise WorkerStopping("The worker is shutting down immediately.")
        self._refuse_canceled()
        if self._clock() - self._reported < PROGRESS_PERIOD_S and progress.step < progress.of:
            return
        self._reported = self._clock()
        try:
            self._store.renew(self.job.lease, progress)
        except ValkeyUnavailable as error:
            logger.warning("progress is not reported: %s", error)

    def pause(self, seconds: float) -> None:
        """Wait for storage, and raise if there is no reason to wait any longer.

        Raises:
            WorkerStopping: the worker shuts down; another one may reach storage.
            LeaseLost: another attempt owns the job.
        """
        self.activity.note_progress()
        if self._shutdown.graceful.wait(seconds):
            raise WorkerStopping("The worker is shutting down while it waits for storage.")
        try:
            self._store.renew(self.job.lease)
        except ValkeyUnavailable as error:
            logger.warning("it waits for storage, and the job store is unavailable: %s", error)

    def retry_until_shutdown(self, step: Callable[[], Outcome]) -> Outcome:
        """Take a step in the job store, waiting for a store that is unavailable: the images are drawn.

        Raises:
            ValkeyUnavailable: it is unavailable and the worker shuts down.
            LeaseLost: another attempt owns the job.
        """
        while True:
            self.activity.note_progress()
            try:
                return step()
            except ValkeyUnavailable as error:
                logger.warning("retrying in %g s: %s", STORE_AGAIN_S, error)
                if self._shutdown.graceful.wait(STORE_AGAIN_S):
                    raise

    def note_preparing(self) -> None:
        """Note that its adapters are fetched and read."""
        self.activity.begin(Phase.PREPARING, self._bounds.prepare_s(self.job.spec))

    def note_drawing(self) -> None:
        """Note that its adapters are merged and the pipeline runs."""
        self.activity.begin(Phase.DRAWING, self._bounds.step_s(self.job.spec, self._images))

    def note_publishing(self, size: int) -> None:
        """Note that images of this many bytes, before they are encoded, are stored."""
        self.activity.begin(Phase.PUBLISHING, self._bounds.read_s(size))

    def note_testing(self) -> None:
        """Note that its worker tests itself, and may load the base again."""
        self.activity.begin(Phase.TESTING, 2 * self._bounds.swap_s)

    def overdue(self) -> str | None:
        """Return the phase that took too long; None if none did."""
        if self.job.id in self._cancellations:
            self.activity.request_end()
        return self.activity.overdue()

    def keeps_lease(self) -> bool:
        """Return whether its lease is to be renewed, which takes progress and not only being alive."""
        return not self.is_ended and not self.has_lost_lease and self.activity.overdue() is None

    def _refuse_canceled(self) -> None:
        if self.is_ended:
            raise LeaseLost(f"Attempt {self.job.attempt} at job {self.job.id} stalled and was ended.")
        if self.job.id in self._cancellations:
            raise LeaseLost(f"Job {self.job.id} is canceled; nothing of attempt {self.job.attempt} is published.")


class Attempts(tuple[Attempt, ...]):
    """Attempts at jobs, one or more, that are drawn in one pass. What ends one of them ends the pass."""

    __slots__ = ()

    @property
    def jobs(self) -> list[Job]:
        return [attempt.job for attempt in self]

    def check_needed(self) -> None:
        """As ``Attempt.check_needed``."""
        for attempt in self:
            attempt.check_needed()

    def check_wanted(self) -> None:
        """As ``Attempt.check_wanted``."""
        for attempt in self:
            attempt.check_wanted()

    def pause(self, seconds: float) -> None:
        """As ``Attempt.pause``, for all of them together."""
        for attempt in self:
            attempt.pause(seconds / len(self))

    def note_preparing(self) -> None:
        """As ``Attempt.note_preparing``."""
        for attempt in self:
            attempt.note_preparing()

    def note_drawing(self) -> None:
        """As ``Attempt.note_drawing``."""
        for attempt in self:
            attempt.note_drawing()

    def note_testing(self) -> None:
        """As ``Attempt.note_testing``."""
        for attempt in self:
            attempt.note_testing()

    def wait(self) -> None:
        """As ``Activity.wait``: while one of them is settled, the others wait for their turn."""
        for attempt in self:
            attempt.activity.wait()

    def note_progress(self) -> None:
        """As ``Activity.note_progress``."""
        for attempt in self:
            attempt.activity.note_progress()

    def note_waiting(self, waits: bool) -> None:
        """As ``Attempt.note_waiting``."""
        for attempt in self:
            attempt.note_waiting(waits)

    def report(self, progress: Progress) -> None:
        """As ``Attempt.report``."""
        for attempt in self:
            attempt.report(progress)


def queued_seconds(job: Job) -> float:
    """Return the seconds from accepted to claimed."""
    started = job.started_at or job.created_at
    return (started - job.created_at).total_seconds()
