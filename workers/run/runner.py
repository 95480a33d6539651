"""Works on jobs: takes them through their three stages, and settles them in the job store."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from storage import StorageError
from tasks.errors import (
    DrawingInterrupted,
    JobFailed,
    LeaseLost,
    LeftToAnother,
    MachineFault,
    OutOfMemory,
    StokeholdError,
    StorageFault,
    UnknownFault,
    ValkeyUnavailable,
)
from tasks.jobs.job import Job, log_fields
from tasks.lanes.interactive_lane import InteractiveLane
from tasks.lanes.queues import JobQueues
from tasks.logs import log_context
from workers.run.attempt import Attempt, Attempts
from workers.run.health import Health
from workers.run.running import RunningAttempts
from workers.run.settlement import Settlement
from workers.run.shutdown import Shutdown
from workers.run.stages import Stages
from workers.stages.draw import Drawing
from workers.stages.stopwatch import Stage, Stopwatch

logger = logging.getLogger(__name__)

LEAVE_S = 1.0
"""Seconds for which a message is held back whose job is left to another worker."""


class BeginAttempt(Protocol):
    """Makes the attempt at a claimed job."""

    def __call__(self, job: Job, *, images: int) -> Attempt:
        """Begin an attempt; ``images`` are drawn at once."""


@dataclass(frozen=True)
class JobRunner:
    """The runner that a worker installs. Called from several threads at once; the device is used by one."""

    interactive: InteractiveLane
    queues: JobQueues
    stages: Stages
    settlement: Settlement
    running: RunningAttempts
    health: Health
    begin: BeginAttempt
    slug: str
    worker: str
    shutdown: Shutdown

    def __call__(self, job_id: str) -> None:
        """Work on the interactive job that is due. A message without a waiting job is dropped.

        Args:
            job_id: job of the message, which may have been drawn already.
        """
        if self.shutdown.graceful.is_set():
            self.queues.requeue_unclaimed(self.slug, job_id)
            return
        try:
            job = self.interactive.claim(self.slug, self.worker)
        except LeftToAnother as error:
            logger.info("%s", error)
            self.shutdown.graceful.wait(LEAVE_S)  # or a worker with nothing to do would take its message again at once
            self.queues.requeue_unclaimed(self.slug, job_id)
            return
        if job is None:
            logger.info("no job waits; the message was sent for job %s", job_id)
        else:
            self.run_jobs((job,))

    def run_jobs(self, jobs: Sequence[Job]) -> None:
        """Take a claimed job, or several that one pass can draw, through the stages and settle each.

        A pass draws no more images than it has steps: the longest of them, between which an interactive job may go
        first, is then no longer than the drawing of one image.
        """
        size = jobs[0].spec.steps
        attempts = [self.begin(job, images=min(size, len(jobs))) for job in jobs]
        with self.running.holding(attempts):
            for begin in range(0, len(attempts), size):
                self.run_pass(Attempts(attempts[begin : begin + size]))

    def run_pass(self, attempts: Attempts) -> None:
        """Draw some jobs in one pass, or alone, and settle them."""
        with log_context(log_fields(*attempts.jobs)):
            drawings = self.draw_together(attempts) if len(attempts) > 1 else None
        for place, attempt in enumerate(attempts):
            with log_context(log_fields(attempt.job)):
                self.settle(attempt, drawings[place] if drawings else None)
            self.running.release(attempt)

    def draw_together(self, attempts: Attempts) -> list[Drawing] | None:
        """Draw several jobs in one pass; return None if that fails, so that each is drawn alone."""
        stopwatch = Stopwatch()
        try:
            drawings = self.stages.draw(attempts, stopwatch)
        except MachineFault as error:
            logger.warning("drawn one by one: %s", error)
            attempts.note_testing()
            self.health.is_sound()
            return None
        except StokeholdError as error:
            logger.warning("drawn one by one: %s", error)
            return None
        except Exception:
            logger.exception("drawn one by one")
            return None
        finally:
            attempts.wait()
        stopwatch.share([attempt.stopwatch for attempt in attempts])
        return drawings

    def settle(self, attempt: Attempt, drawing: Drawing | None) -> None:
        """Draw a job that is not drawn yet, publish it, and record the outcome."""
        try:
            if drawing is None:
                (drawing,) = self.stages.draw(Attempts([attempt]), attempt.stopwatch)
            with attempt.stopwatch.measure(Stage.PUBLISH):
                result = self.stages.publish(attempt, drawing)
            self.settlement.succeed(attempt, result)
            return
        except DrawingInterrupted as error:
            logger.info("%s", error)
            self.settlement.requeue_unstarted(attempt.job)
        except LeaseLost as error:
            logger.warning("%s", error)
        except ValkeyUnavailable as error:
            logger.warning("left to its lease: %s", error)
        except Exception as error:  # noqa: BLE001 (the outermost loop of a job: logged below)
            self.settle_failure(attempt, error)
        self.settlement.clean_up(attempt.job)

    def settle_failure(self, attempt: Attempt, error: Exception) -> None:
        """Fail a job for its own reason; let another worker retry it for a fault of this machine, after a self test."""
        if isinstance(error, JobFailed) and not isinstance(error, OutOfMemory):
            logger.warning("failed: %s", error)
            self.settlement.fail(attempt, error.code, str(error))
            return
        logger.error("met a fault", exc_info=error)
        attempt.note_testing()
        is_sound = self.health.is_sound()
        if isinstance(error, OutOfMemory) and is_sound:
            self.settlement.fail(attempt, error.code, str(error))
        else:
            self.settlement.retry_elsewhere(attempt, fault_of(error))


def fault_of(error: Exception) -> MachineFault:
    """Return the fault of the machine that an error is to a job."""
    if isinstance(error, MachineFault):
        return error
    if isinstance(error, StorageError):
        return StorageFault("The worker could not use the storage. Submit the job again later.")
    return UnknownFault("The worker met an unexpected error. Its log has the details under this job's id.")
