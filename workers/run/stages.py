"""The stages of a job with the parts of its worker: prepare and draw, for one job or several at once, then publish."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from storage import Storage
from tasks.jobs.images import Images
from tasks.jobs.job import Lane
from tasks.jobs.manifest import Manifest
from tasks.jobs.result import Environment, Provenance, Result
from workers.adapters.cache import AdapterCache
from workers.run.adapter_warnings import adapter_warnings
from workers.run.attempt import Attempt, Attempts
from workers.run.image_warnings import image_warnings
from workers.stages.compare import ReplayComparison
from workers.stages.draw import Drawing, draw
from workers.stages.prepare import prepare
from workers.stages.publish import StorageRetry, publish
from workers.stages.stopwatch import Stage, Stopwatch
from workers.swap.warm_pipeline import WarmPipeline

PIXEL_BYTES = 4
"""Bytes for each pixel, more than any encoding of an image takes."""


@dataclass(frozen=True)
class Stages:
    """Takes jobs through their stages.

    Attributes:
        environment: the device and software that draw the images.
        storage_wait_s: seconds that a stage waits for unavailable storage.
    """

    warm: WarmPipeline
    adapters: AdapterCache
    images: Images
    storage: Storage
    comparison: ReplayComparison
    environment: Environment
    storage_wait_s: float

    def draw(self, attempts: Attempts, stopwatch: Stopwatch) -> list[Drawing]:
        """Prepare and draw jobs that one pass of the pipeline can draw. Storage is waited for, as in ``publish``.

        Raises:
            JobFailed: a job cannot be drawn; the error's code and sentence are for the client.
            MachineFault: this worker or its machine is at fault.
            LeaseLost: another attempt owns the job.
            DrawingInterrupted: the job goes back to the queue.
            StorageError: storage refuses, or was unavailable for too long.
        """
        jobs = attempts.jobs
        storage_retry = StorageRetry(self.storage_wait_s, attempts.pause)
        attempts.note_preparing()
        with stopwatch.measure(Stage.ADAPTER):
            adapters = storage_retry.call(partial(prepare, self.adapters, jobs[0].spec, attempts))
        attempts.note_waiting(self.warm.device_thread.is_taken)
        specs = [job.spec for job in jobs]
        return draw(self.warm, specs, adapters, attempts, stopwatch, first=jobs[0].lane is Lane.INTERACTIVE)

    def publish(self, attempt: Attempt, drawing: Drawing) -> Result:
        """Encode the images and store them.

        Raises:
            JobFailed, MachineFault, LeaseLost, DrawingInterrupted: as in ``draw``.
            ValkeyUnavailable: the job store is unavailable, and the worker shuts down.
        """
        job, replay = attempt.job, None
        attempt.note_publishing(PIXEL_BYTES * job.spec.width * job.spec.height)
        attempt.retry_until_shutdown(partial(self.images.note, job.lease))
        provenance = Provenance(
            adapter_files=drawing.adapter_files, environment=self.environment, batch_size=drawing.batch_size
        )
        manifest = Manifest.of(job, drawing.base.fingerprint, provenance)
        storage_retry = StorageRetry(self.storage_wait_s, attempt.pause)
        images = publish(
            self.storage, job, drawing.images, manifest, storage_retry, note_progress=attempt.activity.note_progress
        )
        if job.options.replay_of is not None:
            compare = partial(self.comparison.report, job.options.replay_of, images, manifest, storage_retry)
            replay = attempt.retry_until_shutdown(compare)
        return Result(
            images=images,
            receipts=drawing.receipts,
            base=drawing.base,
            **dict(provenance),
            warnings=(*adapter_warnings(drawing.receipts, job.spec), *image_warnings(drawing.images, job.spec)),
            replay=replay,
        )
