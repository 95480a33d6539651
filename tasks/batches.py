"""What the light worker does with batches: plan them, let their lines become jobs, collect the results, end them."""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from storage import StorageError
from tasks.adapter_resolver import Asker
from tasks.batch import Batch, BatchStatus, OnError, Plan
from tasks.batch_expansion import expand
from tasks.batch_forecast import forecast
from tasks.batch_index import LineIndex, line_index
from tasks.batch_plan import Planner, write_plan
from tasks.batch_results import LINES_TYPE, gather, harvest, write_results
from tasks.batch_retry import Remainder
from tasks.batch_store import batch_key
from tasks.errors import InvalidRequest, LimitExceeded, ServiceUnavailable, StatusConflict
from tasks.frozen import read
from tasks.job import Failure
from tasks.service import Service

logger = logging.getLogger(__name__)

MOST_HARVESTS = 20
"""Parts of the results that one round writes of a batch, so that the others have their turn."""


def plan_batches(service: Service) -> None:
    """Plan what is new, one batch at a time."""
    for batch in service.batches.active():
        if batch.status is BatchStatus.VALIDATING:
            undisturbed(plan_batch, service, batch)


def advance_batches(service: Service) -> None:
    """One round of those that are planned."""
    for batch in service.batches.active():
        if batch.status in (BatchStatus.RUNNING, BatchStatus.CANCELING):
            undisturbed(advance, service, batch)


def undisturbed(step: Callable[[Service, Batch], None], service: Service, batch: Batch) -> None:
    """Take a step of one batch. A server that is away, or another process that was faster, ends it for this round."""
    try:
        step(service, batch)
    except (StorageError, ServiceUnavailable, StatusConflict) as error:
        logger.warning("batch %s waits for the next round: %s", batch.id, error)


def plan_batch(service: Service, batch: Batch) -> None:
    """Put the lines of a batch into the order of drawing: all of them, or in a retry those without pictures.

    Raises:
        StorageError, ServiceUnavailable: a server is away.
    """
    with tempfile.TemporaryDirectory(prefix="stokehold-") as name, line_index(Path(name)) as index:
        if batch.plan:
            plan_again(service, batch, index, Path(name))
        else:
            plan_new(service, batch, index, Path(name))


def plan_new(service: Service, batch: Batch, index: LineIndex, folder: Path) -> None:
    """Check every line of a batch, and plan those that can be served."""
    owner = batch.terms.owner
    asker = Asker(owner, allow_private=service.keys.allow_private(owner))
    planner = Planner(
        partial(service.resolver.admit, asker=asker), service.base_models, service.settings.image_format, index
    )
    service.storage.download(batch.input, folder / "input.jsonl")
    try:
        with (folder / "input.jsonl").open("rb") as file:
            planner.read(file)
        require_lines(planner, batch.terms.on_error)
        if not batch.terms.dry_run:
            service.quotas.charge_batch(batch.terms.owner, batch_key(batch.id), planner.pixel_steps)
    except (InvalidRequest, LimitExceeded) as error:
        failure = Failure(code=error.code, message=str(error))
        fields = {"error": failure, "skipped": planner.skipped, "errors": tuple(planner.errors)}
        service.batches.move(batch, BatchStatus.FAILED, fields)
        return
    with (folder / "plan.jsonl").open("wb") as file:
        plan = write_plan(planner.adapters, planner.groups(), file.write)
    begin(service, batch, plan, folder / "plan.jsonl", skipped=planner.skipped, errors=tuple(planner.errors))


def require_lines(planner: Planner, on_error: OnError) -> None:
    """Refuse a batch that cannot be run.

    Raises:
        InvalidRequest: it has no lines, or some that cannot be served and must not be passed over.
    """
    if planner.skipped and (on_error is OnError.REJECT or not planner.lines):
        raise InvalidRequest(f"{planner.skipped} lines cannot be served; errors has the first. Correct them.")
    if not planner.lines:
        raise InvalidRequest("The file has no lines. Send one request a line.")


def plan_again(service: Service, batch: Batch, index: LineIndex, folder: Path) -> None:
    """Plan the lines of a batch that have no pictures yet."""
    gather(service, batch, index)
    remainder = Remainder(service, batch, read_plan(service, batch), index)
    with (folder / "plan.jsonl").open("wb") as file:
        plan = write_plan(remainder.plan.adapters, remainder.groups(), file.write)
    begin(service, batch, plan, folder / "plan.jsonl", ended=0, failed=0, canceled=0)


def begin(service: Service, batch: Batch, plan: Plan, lines: Path, **fields: object) -> None:
    """Put a plan into storage, where nobody else writes, and let the batch run."""
    key = f"{batch.folder}plan-{uuid.uuid4().hex}"
    service.storage.upload(f"{key}.jsonl", lines, content_type=LINES_TYPE)
    service.storage.put(f"{key}.json", plan.model_dump_json().encode(), content_type="application/json")
    count = sum(group.lines for group in plan.groups)
    target = BatchStatus.PLANNED if batch.terms.dry_run else BatchStatus.RUNNING
    service.batches.move(batch, target, {"plan": key, "lines": count, "forecast": forecast(service, plan), **fields})


def read_plan(service: Service, batch: Batch) -> Plan:
    """The present plan of a batch."""
    return read(Plan, service.storage.get(f"{batch.plan}.json"), f"The plan of batch {batch.id}")


def advance(service: Service, batch: Batch) -> None:
    """One round of one batch.

    Raises:
        StorageError, ServiceUnavailable: a server is away.
    """
    if batch.status is BatchStatus.CANCELING:
        withdraw(service, batch)
    else:
        expand(service, batch, read_plan(service, batch))
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
            service.storage.upload(f"{batch.folder}{path.name}", path, content_type=LINES_TYPE)
    service.batches.move(batch, target)


def cancel(service: Service, batch: Batch) -> Batch:
    """Withdraw a batch: at once where nothing of it is under way, else with the next round.

    Raises:
        StatusConflict: it has ended.
    """
    target = BatchStatus.CANCELED if batch.status is BatchStatus.VALIDATING else BatchStatus.CANCELING
    return service.batches.move(batch, target)


def retry(service: Service, batch: Batch) -> Batch:
    """Begin again with the lines of a batch that have no pictures.

    Raises:
        StatusConflict: it is under way, or all lines have pictures.
    """
    if batch.lines and batch.lines == batch.ended and not batch.failed + batch.canceled:
        raise StatusConflict(f"Every line of batch {batch.id!r} has its pictures. There is nothing to try again.")
    return service.batches.move(batch, BatchStatus.VALIDATING, {"generation": batch.generation + 1})
