"""Canceling and retrying a batch at its client's request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.batches.batch import Batch, BatchStatus
from tasks.batches.store import BatchStore
from tasks.errors import StatusConflict

MAX_TRIES = 5
"""Tries of a client's step, while the light worker takes others."""


@dataclass(frozen=True)
class BatchControl:
    """Cancels and retries batches."""

    batches: BatchStore

    def cancel(self, batch: Batch) -> Batch:
        """Cancel a batch: at once where nothing of it is under way, else with the next round.

        Raises:
            StatusConflict: it has ended.
        """
        return self._persistently(batch, lambda latest: self.batches.transition(latest, cancellation_of(latest)))

    def retry(self, batch: Batch) -> Batch:
        """Begin again with the lines of a batch that have no images.

        Raises:
            StatusConflict: it is under way, has no results, or all lines have images.
        """
        return self._persistently(batch, self._retry_once)

    def _retry_once(self, batch: Batch) -> Batch:
        """Begin again with a batch, unless it has changed since it was read."""
        if batch.status is BatchStatus.FAILED and not batch.results:
            raise StatusConflict(
                f"Batch {batch.id!r} failed before it had any results. Correct its file and send it again."
            )
        if batch.lines and batch.lines == batch.ended and not batch.failed + batch.canceled:
            raise StatusConflict(f"Every line of batch {batch.id!r} has its images. There is nothing to retry.")
        return self.batches.transition(batch, BatchStatus.VALIDATING, {"generation": batch.generation + 1, "error": ""})

    def _persistently(self, batch: Batch, step: Callable[[Batch], Batch]) -> Batch:
        """Take a client's step, also while the batch takes others.

        Raises:
            StatusConflict: the step is not possible in the batch's status.
        """
        for _ in range(MAX_TRIES):
            try:
                return step(batch)
            except StatusConflict:
                latest = self.batches.get(batch.id)
                if latest.step == batch.step:
                    raise
                batch = latest
        return step(batch)


def cancellation_of(batch: Batch) -> BatchStatus:
    """Return the status of a batch that is being canceled."""
    return BatchStatus.CANCELED if batch.status is BatchStatus.VALIDATING else BatchStatus.CANCELING
