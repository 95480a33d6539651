"""Works on one job: claims it, takes it through its three stages, and settles it in the job store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from kombu.exceptions import OperationalError

from tasks.errors import BrokerUnavailable, JobFailed, JobNotFound, LeaseLost, WorkerStopping
from tasks.job import Failure, Job, Lane, Lease, Progress, Result, Status
from tasks.manifest import Manifest
from tasks.routing import announce_backfill, send
from tasks.service import Service
from tasks.surroundings import Surroundings
from tasks.uploads import keep_upload, note_upload, settle_upload
from workers.adapter_cache import AdapterCache
from workers.cancellations import Cancellations
from workers.draw import draw
from workers.heartbeat import Heartbeat
from workers.patience import Patience
from workers.prepare import prepare
from workers.publish import publish
from workers.readiness import Readiness
from workers.replay import report_of
from workers.stopwatch import Stage, Stopwatch
from workers.warm_pipeline import WarmPipeline

logger = logging.getLogger(__name__)

PROGRESS_PERIOD_S = 0.25
STORE_AGAIN_S = 0.5

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class JobRunner:
    """The runner that a worker installs. Called from several threads at once; the device is used by one.

    Attributes:
        stopping: the worker is told to end: what is being drawn is finished, what only waits goes back.
        urgent: it is told so once more: what is being drawn goes back, too.
    """

    service: Service
    warm: WarmPipeline
    adapters: AdapterCache
    heartbeat: Heartbeat
    cancellations: Cancellations
    readiness: Readiness
    slug: str
    worker: str
    surroundings: Surroundings
    stopping: threading.Event = field(default_factory=threading.Event)
    urgent: threading.Event = field(default_factory=threading.Event)

    def __call__(self, job_id: str) -> None:
        """Work on an interactive job. A message whose job cannot be claimed is a duplicate or too late, and dropped."""
        if self.stopping.is_set():
            self.pass_on(job_id)
        elif (job := self.service.store.claim(job_id, self.worker)) is not None:
            self.run(job)
        else:
            logger.info("job %s is not there to be claimed", job_id)

    def backfill(self) -> None:
        """Work on the backfill job that suits this worker best. A message for which there is none is dropped."""
        if self.stopping.is_set():
            self.pass_on_backfill()
        elif (job := self.service.backfill.claim(self.slug, self.worker)) is not None:
            self.run(job)
        else:
            logger.info("no backfill job is there to be claimed")

    def run(self, job: Job) -> None:
        """Take a claimed job through its stages and settle it."""
        stopwatch, succeeded = Stopwatch(queued_s=queued_seconds(job)), False
        with self.heartbeat.keeping(job.lease):
            try:
                result = self.work(job, stopwatch)
                self.insist(partial(self.service.store.succeed, job, result, stopwatch.timings))
                succeeded = True
                logger.info("job %s succeeded: %s", job.id, stopwatch.timings)
            except WorkerStopping:
                self.give_back(job)
            except LeaseLost as error:
                logger.warning("%s", error)
            except BrokerUnavailable as error:
                logger.warning("job %s is left to its lease: %s", job.id, error)
            except JobFailed as error:
                logger.warning("job %s failed: %s", job.id, error)
                self.settle_failure(job, Failure(code=error.code, message=str(error)), stopwatch)
            except Exception:  # the outermost loop of a job: the worker goes on, the submitter learns of it
                logger.exception("job %s failed", job.id)
                message = "The worker met an error that it does not know. Its log says more under this job's id."
                self.settle_failure(job, Failure(code=JobFailed.code, message=message), stopwatch)
        self.clean_up(job, keep_upload if succeeded else settle_upload)

    def work(self, job: Job, stopwatch: Stopwatch) -> Result:
        """The three stages.

        Raises:
            JobFailed: a stage cannot be done; the error's code and sentence are for the submitter.
            LeaseLost: another attempt owns the job.
            WorkerStopping: the worker is told to end, and the job goes back.
            BrokerUnavailable: the same, and the job store is away.
        """
        with stopwatch.measure(Stage.ADAPTER):
            adapters = prepare(self.adapters, job.spec)
        self.note_waiting(job, self.warm.lock.is_taken)
        drawing = draw(
            self.warm,
            job.spec,
            adapters,
            report=self.reporter(job),
            stopwatch=stopwatch,
            give_up=partial(self.refuse_to_begin, job),
            first=job.lane is Lane.INTERACTIVE,
            begin=partial(self.note_waiting, job, False),
        )
        with stopwatch.measure(Stage.PUBLISH):
            self.insist(partial(note_upload, self.service, job.lease))
            patience = Patience(self.service.settings.storage_patience_s, partial(self.pause, job))
            manifest = Manifest(
                job=job.id,
                spec=job.spec,
                adapter_files=tuple(adapter.sha256 for adapter in adapters),
                base=drawing.base.fingerprint,
                surroundings=self.surroundings,
            )
            images = publish(self.service.storage, job, drawing.pictures, manifest, patience)
        first = job.terms.replay_of
        return Result(
            images=images,
            receipts=drawing.receipts,
            base=drawing.base,
            adapter_files=manifest.adapter_files,
            surroundings=manifest.surroundings,
            replay=None if first is None else self.insist(partial(report_of, self.service, first, images, manifest)),
        )

    def note_waiting(self, job: Job, waits: bool) -> None:
        """Let the store know whether the job that is drawn now is another: which one to blame if the worker dies.

        Raises:
            LeaseLost: another attempt owns the job, or it was canceled.
        """
        try:
            self.service.store.renew(job.lease, waits=waits)
        except BrokerUnavailable as error:
            logger.warning("that job %s waits is not noted: %s", job.id, error)

    def refuse_to_begin(self, job: Job) -> None:
        """Draw nothing that nobody waits for, and nothing on a worker that is told to end.

        Raises:
            LeaseLost: the job was canceled.
            WorkerStopping: the worker is told to end.
        """
        self.refuse_canceled(job)
        if self.stopping.is_set():
            raise WorkerStopping("The worker is told to end before it began to draw.")

    def refuse_canceled(self, job: Job) -> None:
        """Stop working on a job that was canceled.

        Raises:
            LeaseLost: it was.
        """
        if job.id in self.cancellations:
            raise LeaseLost(f"Job {job.id} is canceled; nothing of attempt {job.attempt} is published.")

    def reporter(self, job: Job, clock: Callable[[], float] = time.monotonic) -> Callable[[Progress], None]:
        """Looks at every step whether the job was canceled, and tells the store of the drawing's progress, at most four
        times a second and at the last step.

        The callable raises ``LeaseLost`` or ``WorkerStopping`` and so ends the drawing.
        """
        last = clock() - PROGRESS_PERIOD_S

        def report(progress: Progress) -> None:
            nonlocal last
            if self.urgent.is_set():
                raise WorkerStopping("The worker is told twice to end while it draws.")
            self.refuse_canceled(job)
            if clock() - last < PROGRESS_PERIOD_S and progress.step < progress.of:
                return
            last = clock()
            try:
                self.service.store.renew(job.lease, progress)
            except BrokerUnavailable as error:
                logger.warning("progress of job %s is not reported: %s", job.id, error)

        return report

    def pause(self, job: Job, seconds: float) -> None:
        """Wait for storage, and notice that there is no reason to wait any longer.

        Raises:
            WorkerStopping: the worker is told to end; another one may reach storage.
            LeaseLost: another attempt owns the job.
        """
        if self.stopping.wait(seconds):
            raise WorkerStopping("The worker is told to end while it waits for storage.")
        try:
            self.service.store.renew(job.lease)
        except BrokerUnavailable as error:
            logger.warning("job %s waits for storage, and the job store is away: %s", job.id, error)

    def insist(self, step: Callable[[], Outcome]) -> Outcome:
        """Take a step in the job store, waiting for a store that is away: the pictures are drawn.

        Raises:
            BrokerUnavailable: it is away and the worker is told to end.
            LeaseLost: another attempt owns the job.
        """
        while True:
            try:
                return step()
            except BrokerUnavailable as error:
                logger.warning("trying again in %g s: %s", STORE_AGAIN_S, error)
                if self.stopping.wait(STORE_AGAIN_S):
                    raise

    def give_back(self, job: Job) -> None:
        """Let another worker have a job that this one has not drawn."""
        try:
            self.service.store.requeue(job, given_back=True)
        except (BrokerUnavailable, LeaseLost) as error:
            logger.warning("job %s is not given back: %s", job.id, error)
            return
        send(self.service.celery, self.service.store, job)
        logger.info("job %s goes back to the queue: this worker is told to end", job.id)

    def pass_on(self, job_id: str) -> None:
        """Put back a message that Valkey had promised to this worker when it was told to end."""
        try:
            job = self.service.store.get(job_id)
        except JobNotFound as error:
            logger.info("%s", error)
            return
        if job.status is Status.QUEUED:
            send(self.service.celery, self.service.store, job)

    def pass_on_backfill(self) -> None:
        """The same for a message that names no job; a lost one is found by housekeeping."""
        try:
            announce_backfill(self.service.celery, self.slug)
        except OperationalError as error:
            logger.warning("a message of the backfill lane is not put back: %s", error)

    def settle_failure(self, job: Job, failure: Failure, stopwatch: Stopwatch) -> None:
        """End the job as failed, unless it belongs to another attempt by now."""
        try:
            self.insist(partial(self.service.store.fail, job, failure, stopwatch.timings))
        except (BrokerUnavailable, LeaseLost) as error:
            logger.warning("%s", error)

    def clean_up(self, job: Job, settle: Callable[[Service, Lease], object]) -> None:
        """Leave no image behind that is not the job's."""
        try:
            settle(self.service, job.lease)
        except BrokerUnavailable as error:
            logger.warning("images of job %s are left to housekeeping: %s", job.id, error)


def queued_seconds(job: Job) -> float:
    """Seconds from accepted to claimed."""
    started = job.started_at or job.created_at
    return (started - job.created_at).total_seconds()
