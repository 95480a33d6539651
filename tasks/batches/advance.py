"""The later steps of a batch: its lines become jobs, the results are collected, and it ends."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.batches.batch import LINES_TYPE, Batch, BatchStatus, result_objects
from tasks.batches.expansion import expand
from tasks.batches.line_index import line_index
from tasks.batches.planning import read_plan
from tasks.batches.results import load_results, settle_finished, write_results
from tasks.errors import StatusConflict
from tasks.service import Service

logger = logging.getLogger(__name__)

MAX_SETTLED_PARTS = 20
"""Parts of the results that one round writes of a batch, so that the others have their turn."""


def advance(service: Service, batch: Batch) -> None:
    """One round of one batch.

    Raises:
        StorageError, ServiceUnavailable: a server is unavailable.
        StatusConflict: the batch has moved on meanwhile.
    """
    if batch.status is BatchStatus.CANCELING:
        cancel_jobs(service, batch)
    else:
        expand(service, batch, read_plan(service, batch))
    service.batch_progress.lose(batch)
    for _ in range(MAX_SETTLED_PARTS):
        if not settle_finished(service, batch):
            break
    batch = service.batches.get(batch.id)
    if batch.status is BatchStatus.RUNNING and batch.ended >= batch.lines:
        finish(service, batch, BatchStatus.COMPLETED)
    elif batch.status is BatchStatus.CANCELING and not service.batch_progress.jobs(batch):
        finish(service, batch, BatchStatus.FAILED if batch.error else BatchStatus.CANCELED)


def cancel_jobs(service: Service, batch: Batch) -> None:
    """Cancel the jobs of a batch that have not ended, and none of those that a retry has begun meanwhile."""
    for job in service.store.existing(sorted(filter(batch.has_begun, service.batch_progress.jobs(batch)))):
        if not job.status.is_terminal:
            try:
                service.store.cancel(job.id)
            except StatusConflict as error:
                logger.info("%s", error)


def finish(service: Service, batch: Batch, target: BatchStatus) -> None:
    """Put the results in the order of the lines, and end the batch.

    Raises:
        StorageError: storage is unavailable.
        StatusConflict: the batch has moved on meanwhile.
    """
    results = f"{batch.folder}{uuid.uuid4().hex}/"
    with TemporaryDirectory() as name, line_index(Path(name)) as index:
        load_results(service, batch, index)
        for key, path in zip(result_objects(results), write_results(index, Path(name)), strict=True):
            service.object_notes.note(key)
            service.storage.upload(key, path, content_type=LINES_TYPE)
    leaves = batch.result_objects
    service.batches.transition(batch, target, {"results": results}, takes=result_objects(results), leaves=leaves)
