"""The rounds of batches, none of which delays another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from storage import ObjectNotFound
from tasks.batches.batch import Batch, BatchStatus
from tasks.batches.store import ACTIVE, BatchStore
from tasks.errors import BatchNotFound, InvalidRequest, RecordNotUnderstood, StatusConflict
from tasks.jobs.result import Failure
from tasks.loops.loop import BUDGET_S, within
from tasks.loops.quarantine import NOT_RECORD_FAULTS, Quarantine
from tasks.loops.turns import Turns, Work

logger = logging.getLogger(__name__)

Step = Callable[[Batch], None]

PLANNED = frozenset({BatchStatus.VALIDATING})
ADVANCED = frozenset({BatchStatus.RUNNING, BatchStatus.CANCELING})


class BatchRounds:
    """Plans and advances batches: those of each owner on a separate thread, one after another.

    Args:
        plan: the first step of a batch.
        advance: one of its later steps.
    """

    def __init__(self, batches: BatchStore, quarantine: Quarantine, plan: Step, advance: Step) -> None:
        self._batches = batches
        self._quarantine = quarantine
        self._steps: Mapping[BatchStatus, Step] = {
            **dict.fromkeys(PLANNED, plan),
            **dict.fromkeys(ADVANCED, advance),
        }
        self._planning = Turns("planning")
        self._advancing = Turns("advancing batches")

    def plan(self) -> None:
        """Begin to plan new batches."""
        self._planning.begin(self._works(PLANNED))

    def advance(self) -> None:
        """Begin a round of the batches that are planned."""
        self._advancing.begin(self._works(ADVANCED))

    def join(self, seconds: float) -> None:
        """Wait for what has begun."""
        self._planning.join(seconds)
        self._advancing.join(seconds)

    def _works(self, statuses: frozenset[BatchStatus]) -> dict[str, Work]:
        """Return the work to be done, by owner."""
        by_owner: dict[str, list[Batch]] = {}
        for batch in self._active():
            if batch.status in statuses:
                by_owner.setdefault(batch.options.owner or "", []).append(batch)
        return {owner: partial(self._take_steps, batches) for owner, batches in by_owner.items()}

    def _active(self) -> list[Batch]:
        """Return the batches that have not ended, the oldest first. One that is never understood is quarantined."""
        found: list[Batch] = []
        for batch_id in self._batches.active_ids():
            self._quarantine.attempt(ACTIVE, batch_id, partial(self._collect, batch_id, found))
        return sorted(found, key=lambda batch: batch.created_at)

    def _collect(self, batch_id: str, found: list[Batch]) -> None:
        """Read a batch that has not ended.

        Raises:
            RecordNotUnderstood: it is damaged, or of a newer version.
        """
        try:
            found.append(self._batches.get(batch_id))
        except BatchNotFound:
            logger.warning("batch %s is active and does not exist", batch_id)
            self._batches.remove_entry(batch_id)

    def _take_steps(self, batches: Sequence[Batch]) -> None:
        """Take a step of each of an owner's batches, as many as one turn has time for."""
        for batch in within(BUDGET_S, batches):
            step = partial(self._take_step, batch)
            try:
                self._quarantine.attempt_or("batches", batch.id, step, partial(self._give_up, batch))
            except NOT_RECORD_FAULTS as error:
                logger.warning("batch %s waits for the next round: %s", batch.id, error)

    def _take_step(self, batch: Batch) -> None:
        """Take the next step of a batch, unless another process was faster."""
        try:
            self._steps[batch.status](batch)
        except (StatusConflict, BatchNotFound) as error:
            logger.info("batch %s has moved on: %s", batch.id, error)

    def _give_up(self, batch: Batch, error: Exception) -> None:
        """End a batch that has raised too often: with the results that it has, or without them if that fails too.

        A batch that only another version of this service understands is quarantined instead.
        """
        if isinstance(error, RecordNotUnderstood):
            self._quarantine.add(ACTIVE, batch.id, error)
            return
        target = BatchStatus.CANCELING if batch.status is BatchStatus.RUNNING else BatchStatus.FAILED
        try:
            self._batches.transition(batch, target, {"error": failure_of(error)})
            logger.error("batch %s is given up: %s", batch.id, error)
        except (StatusConflict, BatchNotFound) as conflict:
            logger.info("batch %s has moved on: %s", batch.id, conflict)


def failure_of(error: Exception) -> Failure:
    """Return the reason why a batch cannot go on, in words for its client."""
    if isinstance(error, InvalidRequest):
        return Failure(code=error.code, message=f"The remaining lines can no longer be served. {error}")
    if isinstance(error, ObjectNotFound):
        return Failure(code="batch_lost", message="A file of this batch is missing from storage. Send the batch again.")
    message = "This service failed on this batch several times, and its log says why. Send the batch again."
    return Failure(code="batch_failed", message=message)
