"""Works on jobs: takes them through their three stages, and settles them in the job store."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
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
from tasks.jobs.job import Job, Lane, log_fields
from tasks.jobs.manifest import Manifest
from tasks.jobs.result import Environment, Result
from tasks.logs import log_context
from tasks.service import Service
from workers.adapters.cache import AdapterCache
from workers.run.attempt import Attempt, Attempts
from workers.run.health import Health
from workers.run.heartbeat import Heartbeat
from workers.run.image_warnings import image_warnings
from workers.run.shutdown import Shutdown
from workers.run.watchdog import Watchdog
from workers.stages.compare import ReplayComparison
from workers.stages.draw import Drawing, draw
from workers.stages.prepare import prepare
from workers.stages.publish import StorageRetry, publish
from workers.stages.stopwatch import Stage, Stopwatch
from workers.swap.warm_pipeline import WarmPipeline

logger = logging.getLogger(__name__)

PIXEL_BYTES = 4
"""More than any encoding of an image takes."""
LEAVE_S = 1.0
"""How long a message is held back whose job is left to another worker."""


class BeginAttempt(Protocol):
    """Makes the attempt at a claimed job."""

    def __call__(self, job: Job, *, images: int) -> Attempt:
        """Of so many images that are drawn at once."""


@dataclass(frozen=True)
class JobRunner:
    """The runner that a worker installs. Called from several threads at once; the device is used by one."""

    service: Service
    warm: WarmPipeline
    adapters: AdapterCache
    heartbeat: Heartbeat
    watchdog: Watchdog
    health: Health
    begin: BeginAttempt
    slug: str
    worker: str
    comparison: ReplayComparison
    environment: Environment
    shutdown: Shutdown

    def __call__(self, job_id: str) -> None:
        """Work on the interactive job that is due. A message for which none waits is one too many, and dropped.

        Args:
            job_id: of the job that the message was sent for, which may have been drawn already.
        """
        if self.shutdown.graceful.is_set():
            self.service.queues.requeue_unclaimed(self.slug, job_id)
            return
        try:
            job = self.service.interactive.claim(self.slug, self.worker)
        except LeftToAnother as error:
            logger.info("%s", error)
            self.shutdown.graceful.wait(LEAVE_S)  # or a worker with nothing to do would take its message again at once
            self.service.queues.requeue_unclaimed(self.slug, job_id)
            return
        if job is None:
            logger.info("no job waits; the message was sent for job %s", job_id)
        else:
            self.run_jobs((job,))

    def run_jobs(self, jobs: Sequence[Job]) -> None:
        """Take a claimed job through its stages and settle it; or several that one pass of the pipeline can draw.

        A pass draws no more images than it has steps: the longest of them, between which an interactive job may go
        first, is then no longer than the drawing of one image.
        """
        size = jobs[0].spec.steps
        attempts = [self.begin(job, images=min(size, len(jobs))) for job in jobs]
        with ExitStack() as all_of_them:
            for attempt in attempts:
                all_of_them.enter_context(self.heartbeat.keeping(attempt))
                all_of_them.enter_context(self.watchdog.watching(attempt))
            for begin in range(0, len(attempts), size):
                self.run_pass(attempts[begin : begin + size])

    def run_pass(self, attempts: Sequence[Attempt]) -> None:
        """Draw some jobs in one pass, or alone, and settle them."""
        drawings: list[Drawing] | None = None
        if len(attempts) > 1:
            with log_context(log_fields(*(attempt.job for attempt in attempts))):
                drawings = self.draw_together(attempts)
        for place, attempt in enumerate(attempts):
            with log_context(log_fields(attempt.job)):
                self.settle(attempt, drawings[place] if drawings else None)
            self.heartbeat.release(attempt)
            self.watchdog.release(attempt)

    def draw_together(self, attempts: Sequence[Attempt]) -> list[Drawing] | None:
        """Draw several jobs in one pass; None if that fails. Then each is drawn alone, and meets its own end."""
        stopwatch = Stopwatch()
        try:
            drawings = self.draw(attempts, Attempts(attempts), stopwatch)
        except MachineFault as error:
            logger.warning("drawn one by one: %s", error)
            Attempts(attempts).note_testing()
            self.health.is_sound()
            return None
        except StokeholdError as error:
            logger.warning("drawn one by one: %s", error)
            return None
        except Exception:
            logger.exception("drawn one by one")
            return None
        finally:
            Attempts(attempts).wait()
        stopwatch.share([attempt.stopwatch for attempt in attempts])
        return drawings

    def settle(self, attempt: Attempt, drawing: Drawing | None) -> None:
        """Draw a job that is not drawn yet, publish it, and record how it ended."""
        job = attempt.job
        try:
            if drawing is None:
                (drawing,) = self.draw([attempt], attempt, attempt.stopwatch)
            with attempt.stopwatch.measure(Stage.PUBLISH):
                result = self.publish(attempt, drawing)
            timings = attempt.stopwatch.timings
            attempt.retry_until_shutdown(partial(self.service.store.succeed, job, result, timings))
            logger.info("succeeded: %s", timings)
            return
        except DrawingInterrupted as error:
            logger.info("%s", error)
            attempt.requeue_unstarted()
        except LeaseLost as error:
            logger.warning("%s", error)
        except ValkeyUnavailable as error:
            logger.warning("left to its lease: %s", error)
        except Exception as error:  # noqa: BLE001 (the outermost loop of a job: logged below)
            self.settle_failure(attempt, error)
        attempt.clean_up()

    def settle_failure(self, attempt: Attempt, error: Exception) -> None:
        """Fail a job for a reason of its own; hand it on for one of this machine, after a look at that."""
        if isinstance(error, JobFailed) and not isinstance(error, OutOfMemory):
            logger.warning("failed: %s", error)
            attempt.fail(error.code, str(error))
            return
        logger.error("met a fault", exc_info=error)
        attempt.note_testing()
        is_sound = self.health.is_sound()
        if isinstance(error, OutOfMemory) and is_sound:
            attempt.fail(error.code, str(error))
        else:
            attempt.retry_elsewhere(fault_of(error), self.worker)

    def draw(self, attempts: Sequence[Attempt], watcher: Attempt | Attempts, stopwatch: Stopwatch) -> list[Drawing]:
        """Prepare and draw jobs that one pass of the pipeline can draw. Storage is waited for, as in ``publish``.

        Raises:
            JobFailed: it cannot be done; the error's code and sentence are for the client.
            MachineFault: this worker or its machine is at fault.
            LeaseLost: another attempt owns the job.
            DrawingInterrupted: the job goes back to the queue.
            StorageError: storage refuses, or was unavailable for too long.
        """
        job = attempts[0].job
        storage_retry = StorageRetry(self.service.settings.storage_wait_s, watcher.pause)
        watcher.note_preparing()
        with stopwatch.measure(Stage.ADAPTER):
            adapters = storage_retry.call(partial(prepare, self.adapters, job.spec, watcher.note_progress))
        watcher.note_waiting(self.warm.device_thread.is_taken)
        specs = [attempt.job.spec for attempt in attempts]
        return draw(self.warm, specs, adapters, watcher, stopwatch, first=job.lane is Lane.INTERACTIVE)

    def publish(self, attempt: Attempt, drawing: Drawing) -> Result:
        """Encode the images and store them.

        Raises:
            JobFailed, MachineFault, LeaseLost, DrawingInterrupted: as in ``draw``.
            ValkeyUnavailable: the job store is unavailable, and the worker shuts down.
        """
        job, first = attempt.job, attempt.job.options.replay_of
        attempt.note_publishing(PIXEL_BYTES * job.spec.width * job.spec.height)
        attempt.retry_until_shutdown(partial(self.service.images.note, job.lease))
        manifest = Manifest(
            job=job.id,
            spec=job.spec,
            adapter_files=drawing.adapter_files,
            base=drawing.base.fingerprint,
            environment=self.environment,
            batch_size=drawing.batch_size,
        )
        storage_retry = StorageRetry(self.service.settings.storage_wait_s, attempt.pause)
        images = publish(
            self.service.storage, job, drawing.images, manifest, storage_retry, note_progress=attempt.note_progress
        )
        return Result(
            images=images,
            receipts=drawing.receipts,
            base=drawing.base,
            adapter_files=drawing.adapter_files,
            environment=self.environment,
            batch_size=drawing.batch_size,
            warnings=tuple(image_warnings(drawing.images, job.spec)),
            replay=None
            if first is None
            else attempt.retry_until_shutdown(partial(self.comparison.report, first, images, manifest, storage_retry)),
        )


def fault_of(error: Exception) -> MachineFault:
    """The fault that an error is to the job that met it."""
    if isinstance(error, MachineFault):
        return error
    if isinstance(error, StorageError):
        return StorageFault("The storage did not serve this worker. Submit the job again later.")
    return UnknownFault("The worker met an error that it does not know. Its log says more under this job's id.")
