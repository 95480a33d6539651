"""The rounds of batches, each of which holds up no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from storage import ObjectNotFound
from tasks.batches.advance import advance
from tasks.batches.batch import Batch, BatchStatus
from tasks.batches.planning import plan_batch
from tasks.batches.store import ACTIVE
from tasks.errors import BatchNotFound, InvalidRequest, RecordNotUnderstood, StatusConflict
from tasks.jobs.result import Failure
from tasks.loops.loop import BUDGET_S, within
from tasks.loops.quarantine import NOT_RECORD_FAULTS
from tasks.loops.turns import Turns, Work
from tasks.service import Service

logger = logging.getLogger(__name__)

Step = Callable[[Service, Batch], None]

STEPS: Mapping[BatchStatus, Step] = {
    BatchStatus.VALIDATING: plan_batch,
    BatchStatus.RUNNING: advance,
    BatchStatus.CANCELING: advance,
}
PLANNED = frozenset({BatchStatus.VALIDATING})
ADVANCED = frozenset({BatchStatus.RUNNING, BatchStatus.CANCELING})


class BatchRounds:
    """Plans and advances batches: of each owner on a thread of its own, of an owner one after another."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._planning = Turns("planning")
        self._advancing = Turns("advancing batches")

    def plan(self) -> None:
        """Begin to plan what is new."""
        self._planning.begin(self._works(PLANNED))

    def advance(self) -> None:
        """Begin a round of those that are planned."""
        self._advancing.begin(self._works(ADVANCED))

    def join(self, seconds: float) -> None:
        """Wait for what has begun."""
        self._planning.join(seconds)
        self._advancing.join(seconds)

    def _works(self, statuses: frozenset[BatchStatus]) -> dict[str, Work]:
        """What is to be done, by owner."""
        by_owner: dict[str, list[Batch]] = {}
        for batch in active(self._service):
            if batch.status in statuses:
                by_owner.setdefault(batch.options.owner or "", []).append(batch)
        return {owner: partial(take_steps, self._service, batches) for owner, batches in by_owner.items()}


def active(service: Service) -> list[Batch]:
    """The batches that are not at an end, the oldest first. One that is not understood is quarantined after a while."""
    found: list[Batch] = []
    for batch_id in service.batches.active_ids():
        service.quarantine.attempt(ACTIVE, batch_id, partial(collect, service, batch_id, found))
    return sorted(found, key=lambda batch: batch.created_at)


def collect(service: Service, batch_id: str, found: list[Batch]) -> None:
    """Read a batch that is not at an end.

    Raises:
        RecordNotUnderstood: it is damaged, or of a newer version.
    """
    try:
        found.append(service.batches.get(batch_id))
    except BatchNotFound:
        logger.warning("batch %s is active and does not exist", batch_id)
        service.batches.remove_entry(batch_id)


def take_steps(service: Service, batches: Sequence[Batch]) -> None:
    """Take a step of each of an owner's batches, as many as one turn has time for."""
    for batch in within(BUDGET_S, batches):
        step = partial(take_step, service, batch)
        try:
            service.quarantine.attempt_or("batches", batch.id, step, partial(give_up, service, batch))
        except NOT_RECORD_FAULTS as error:
            logger.warning("batch %s waits for the next round: %s", batch.id, error)


def take_step(service: Service, batch: Batch) -> None:
    """Take the next step of a batch, unless another process was faster."""
    try:
        STEPS[batch.status](service, batch)
    except (StatusConflict, BatchNotFound) as error:
        logger.info("batch %s has moved on: %s", batch.id, error)


def give_up(service: Service, batch: Batch, error: Exception) -> None:
    """End a batch that has raised too often: with the results that it has, or where that fails too, without.

    What only another version of this service understands is quarantined instead.
    """
    if isinstance(error, RecordNotUnderstood):
        service.quarantine.add(ACTIVE, batch.id, error)
        return
    target = BatchStatus.CANCELING if batch.status is BatchStatus.RUNNING else BatchStatus.FAILED
    try:
        service.batches.transition(batch, target, {"error": failure_of(error)})
        logger.error("batch %s is given up: %s", batch.id, error)
    except (StatusConflict, BatchNotFound) as conflict:
        logger.info("batch %s has moved on: %s", batch.id, conflict)


def failure_of(error: Exception) -> Failure:
    """Why a batch cannot go on, for its submitter."""
    if isinstance(error, InvalidRequest):
        return Failure(code=error.code, message=f"The rest of the lines cannot be served any more. {error}")
    if isinstance(error, ObjectNotFound):
        return Failure(code="batch_lost", message="A file of this batch is gone from storage. Send the batch again.")
    message = "This service failed on this batch again and again, and its operator is told. Send the batch again."
    return Failure(code="batch_failed", message=message)
