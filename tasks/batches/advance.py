"""The later steps of a batch: its lines become jobs, the results are collected, and it ends."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from tasks.batches.batch import Batch, BatchStatus, result_objects
from tasks.batches.expansion import BatchExpansion
from tasks.batches.plan_files import PlanFiles
from tasks.batches.progress import BatchProgress
from tasks.batches.results import BatchResults
from tasks.batches.store import BatchStore
from tasks.errors import StatusConflict
from tasks.jobs.store import JobStore

logger = logging.getLogger(__name__)

MAX_SETTLED_PARTS = 20
"""Parts of the results that one round writes of a batch, so that the others have their turn."""


@dataclass(frozen=True)
class BatchAdvance:
    """Takes planned batches to their ends."""

    batches: BatchStore
    progress: BatchProgress
    plans: PlanFiles
    expansion: BatchExpansion
    results: BatchResults
    jobs: JobStore

    def advance(self, batch: Batch) -> None:
        """Take a batch one round further.

        Raises:
            StorageError, ServiceUnavailable: a server is unavailable.
            StatusConflict: the batch has moved on meanwhile.
        """
        if batch.status is BatchStatus.CANCELING:
            self.cancel_jobs(batch)
        else:
            self.expansion.expand(batch, self.plans.read(batch))
        self.progress.lose(batch)
        for _ in range(MAX_SETTLED_PARTS):
            if not self.results.settle_finished(batch):
                break
        batch = self.batches.get(batch.id)
        if batch.status is BatchStatus.RUNNING and batch.ended >= batch.lines:
            self._finish(batch, BatchStatus.COMPLETED)
        elif batch.status is BatchStatus.CANCELING and not self.progress.jobs(batch):
            self._finish(batch, BatchStatus.FAILED if batch.error else BatchStatus.CANCELED)

    def cancel_jobs(self, batch: Batch) -> None:
        """Cancel the jobs of a batch that have not ended, and none of those that a retry has begun meanwhile."""
        for job in self.jobs.existing(sorted(filter(batch.has_begun, self.progress.jobs(batch)))):
            if not job.status.is_terminal:
                try:
                    self.jobs.cancel(job.id)
                except StatusConflict as error:
                    logger.info("%s", error)

    def _finish(self, batch: Batch, target: BatchStatus) -> None:
        """Put the results in the order of the lines, and end the batch."""
        results = self.results.put(batch)
        takes, leaves = result_objects(results), batch.result_objects
        self.batches.transition(batch, target, {"results": results}, takes=takes, leaves=leaves)
