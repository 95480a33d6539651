"""The first step of a batch: its lines are checked and put into the order of drawing."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.adapters.lookup.resolver import Requester
from tasks.batches.batch import LINES_TYPE, Batch, BatchStatus, OnError, Plan, plan_objects
from tasks.batches.expansion import Remainder
from tasks.batches.forecast import forecast
from tasks.batches.line_index import LineIndex, line_index
from tasks.batches.plan import Planner, write_plan
from tasks.batches.results import load_results
from tasks.errors import InvalidRequest, LimitExceeded
from tasks.fields import read
from tasks.jobs.line_place import batch_key
from tasks.jobs.result import Failure
from tasks.service import Service


def plan_batch(service: Service, batch: Batch) -> None:
    """Put the lines of a batch into the order of drawing: all of them, or in a retry those without images.

    Whatever dies on the way, the next round begins anew; the objects that were written are noted, and removed.

    Raises:
        StorageError, ServiceUnavailable: a server is unavailable.
        StatusConflict: the batch has moved on meanwhile.
    """
    with TemporaryDirectory() as name, line_index(Path(name)) as index:
        if batch.plan:
            plan_again(service, batch, index, Path(name))
        else:
            plan_new(service, batch, index, Path(name))


def plan_new(service: Service, batch: Batch, index: LineIndex, folder: Path) -> None:
    """Check every line of a batch, and plan those that can be served."""
    owner = batch.options.owner
    requester = Requester(owner, allow_private=service.keys.allow_private(owner))
    planner = Planner(
        partial(service.resolver.admit, requester=requester), service.base_models, service.settings.image_format, index
    )
    service.storage.download(batch.input, folder / "input.jsonl")
    try:
        with (folder / "input.jsonl").open("rb") as file:
            planner.read(file)
        require_lines(planner, batch.options.on_error)
        if not batch.options.dry_run:
            service.quotas.charge_batch(owner, batch_key(batch.id), planner.pixel_steps)
    except (InvalidRequest, LimitExceeded) as error:
        failure = Failure(code=error.code, message=str(error))
        fields = {"error": failure, "skipped": planner.skipped, "errors": tuple(planner.errors)}
        service.batches.transition(batch, BatchStatus.FAILED, fields)
        return
    with (folder / "plan.jsonl").open("wb") as plan_file:
        plan = write_plan(planner.adapters, planner.groups(), plan_file.write)
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
    """Plan the lines of a batch that have no images yet."""
    load_results(service, batch, index)
    remainder = Remainder(service, batch, read_plan(service, batch), index)
    with (folder / "plan.jsonl").open("wb") as file:
        plan = write_plan(remainder.plan.adapters, remainder.groups(), file.write)
    begin(service, batch, plan, folder / "plan.jsonl", ended=0, failed=0, canceled=0)


def begin(service: Service, batch: Batch, plan: Plan, lines: Path, **fields: object) -> None:
    """Put a plan into storage, where nothing else is written, and let the batch run."""
    key = f"{batch.folder}plan-{uuid.uuid4().hex}"
    lines_key, groups_key = plan_objects(key)
    for name in plan_objects(key):
        service.object_notes.note(name)
    service.storage.upload(lines_key, lines, content_type=LINES_TYPE)
    service.storage.put(groups_key, plan.model_dump_json().encode(), content_type="application/json")
    count = sum(group.lines for group in plan.groups)
    target = BatchStatus.PLANNED if batch.options.dry_run else BatchStatus.RUNNING
    changes = {"plan": key, "lines": count, "forecast": forecast(service, plan), **fields}
    service.batches.transition(batch, target, changes, takes=plan_objects(key), leaves=batch.plan_objects)


def read_plan(service: Service, batch: Batch) -> Plan:
    """The present plan of a batch.

    Raises:
        ObjectNotFound: it is gone.
        RecordNotUnderstood: it is damaged, or of a newer version.
    """
    return read(Plan, service.storage.get(f"{batch.plan}.json"), f"The plan of batch {batch.id}")
