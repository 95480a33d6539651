"""What the light worker does with batches: plan them, let their lines become jobs, collect the results, end them."""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from storage import StorageError
from tasks.batch import Batch, BatchStatus, OnError, Plan
from tasks.batch_expansion import expand
from tasks.batch_forecast import forecast
from tasks.batch_index import line_index
from tasks.batch_plan import Planner, write_plan
from tasks.batch_results import PART_TYPE, gather, harvest, write_results
from tasks.errors import InvalidRequest, ServiceUnavailable, StatusConflict, StokeholdError
from tasks.job import Failure
from tasks.service import Service

logger = logging.getLogger(__name__)

MOST_HARVESTS = 20
"""Parts of the results that one round writes of a batch, so that the others have their turn."""

planning = Lock()
advancing = Lock()


def plan_batches(service: Service) -> None:
    """Plan what is new, one batch at a time: a large file takes minutes, and holds up nothing else."""
    if not planning.acquire(blocking=False):
        return
    try:
        for batch in service.batches.active():
            if batch.status is BatchStatus.VALIDATING:
                undisturbed(plan_batch, service, batch)
    finally:
        planning.release()


def advance_batches(service: Service) -> None:
    """One round of those that are planned."""
    if not advancing.acquire(blocking=False):
        return
    try:
        for batch in service.batches.active():
            if batch.status in (BatchStatus.RUNNING, BatchStatus.CANCELING):
                undisturbed(advance, service, batch)
    finally:
        advancing.release()


def undisturbed(step: Callable[[Service, Batch], None], service: Service, batch: Batch) -> None:
    """Take a step of one batch. A server that is away, or another process that was faster, ends it for this round."""
    try:
        step(service, batch)
    except (StorageError, ServiceUnavailable, StatusConflict) as error:
        logger.warning("batch %s waits for the next round: %s", batch.id, error)


def plan_batch(service: Service, batch: Batch) -> None:
    """Check every line of a batch and put them into the order of drawing.

    Raises:
        StorageError, ServiceUnavailable: a server is away.
    """
    with tempfile.TemporaryDirectory(prefix="stokehold-") as name, line_index(Path(name)) as index:
        folder = Path(name)
        planner = Planner(service.resolver.resolve, service.base_models, service.settings.image_format, index)
        service.storage.download(batch.input, folder / "input.jsonl")
        try:
            with (folder / "input.jsonl").open("rb") as file:
                planner.read(file)
        except InvalidRequest as error:
            refuse(service, batch, planner, error)
            return
        if not planner.lines or (planner.skipped and batch.terms.on_error is OnError.REJECT):
            count = planner.skipped
            reason = f"{count} lines cannot be served; errors has the first." if count else "The file has no lines."
            refuse(service, batch, planner, InvalidRequest(reason))
            return
        key = f"{batch.folder}plan-{uuid.uuid4().hex}"
        plan = store_plan(service, planner, key, folder)
    target = BatchStatus.PLANNED if batch.terms.dry_run else BatchStatus.RUNNING
    fields = {"plan": key, "lines": planner.lines, "skipped": planner.skipped, "errors": tuple(planner.errors)}
    service.batches.move(batch, target, {**fields, "forecast": forecast(service, planner, plan)})


def store_plan(service: Service, planner: Planner, key: str, folder: Path) -> Plan:
    """Put a plan into storage: its lines in order, and where each group lies.

    Raises:
        StorageError: storage is away.
    """
    with (folder / "plan.jsonl").open("wb") as file:
        plan = write_plan(planner, file.write)
    service.storage.upload(f"{key}.jsonl", folder / "plan.jsonl", content_type=PART_TYPE)
    service.storage.put(f"{key}.json", plan.model_dump_json().encode(), content_type="application/json")
    return plan


def refuse(service: Service, batch: Batch, planner: Planner, error: StokeholdError) -> None:
    """End a batch that cannot be run."""
    failure = Failure(code=error.code, message=str(error))
    fields = {"error": failure, "skipped": planner.skipped, "errors": tuple(planner.errors)}
    service.batches.move(batch, BatchStatus.FAILED, fields)


def advance(service: Service, batch: Batch) -> None:
    """One round of one batch.

    Raises:
        StorageError, ServiceUnavailable: a server is away.
    """
    if batch.status is BatchStatus.CANCELING:
        withdraw(service, batch)
    else:
        plan = Plan.model_validate_json(service.storage.get(f"{batch.plan}.json"))
        expand(service, batch, plan)
    for _ in range(MOST_HARVESTS):
        if not harvest(service, batch):
            break
    batch = service.batches.get(batch.id)
    if batch.status is BatchStatus.RUNNING and batch.ended >= batch.lines:
        finish(service, batch, BatchStatus.COMPLETED)
    elif batch.status is BatchStatus.CANCELING and not service.batches.jobs(batch):
        finish(service, batch, BatchStatus.CANCELED)


def withdraw(service: Service, batch: Batch) -> None:
    """Cancel the jobs of a batch that have not ended."""
    for job in service.store.existing(sorted(service.batches.jobs(batch))):
        if not job.status.is_terminal:
            try:
                service.store.cancel(job.id)
            except StatusConflict as error:
                logger.info("%s", error)


def finish(service: Service, batch: Batch, target: BatchStatus) -> None:
    """Put the results in the order of the lines, and end the batch.

    Raises:
        StorageError: storage is away.
    """
    with tempfile.TemporaryDirectory(prefix="stokehold-") as name, line_index(Path(name)) as index:
        gather(service, batch, index)
        for path in write_results(index, Path(name)):
            service.storage.upload(f"{batch.folder}{path.name}", path, content_type=PART_TYPE)
    service.batches.move(batch, target)
