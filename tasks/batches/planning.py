"""The first step of a batch: its lines are checked and put into the order of drawing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from storage import Storage
from tasks.adapters.lookup.resolver import AdapterResolver, Requester
from tasks.base_models.registry import BaseModels
from tasks.batches.batch import Batch, BatchStatus, OnError, Plan, plan_objects
from tasks.batches.forecast import Forecasts
from tasks.batches.line_index import LineIndex, line_index
from tasks.batches.plan import Planner, write_plan
from tasks.batches.plan_files import PlanFiles
from tasks.batches.remainder import Remainder
from tasks.batches.results import BatchResults
from tasks.batches.store import BatchStore
from tasks.client_jobs.quotas import Quotas
from tasks.errors import InvalidRequest, LimitExceeded
from tasks.fields import ImageFormat
from tasks.jobs.line_place import batch_key
from tasks.jobs.result import Failure
from tasks.keys import ApiKeys


@dataclass(frozen=True)
class BatchPlanning:
    """Plans batches."""

    batches: BatchStore
    plans: PlanFiles
    results: BatchResults
    forecasts: Forecasts
    storage: Storage
    resolver: AdapterResolver
    keys: ApiKeys
    quotas: Quotas
    base_models: BaseModels
    image_format: ImageFormat

    def plan(self, batch: Batch) -> None:
        """Put the lines of a batch into the order of drawing: all of them, or in a retry those without images.

        If the process dies on the way, the next round begins anew; the objects written so far are noted, and removed.

        Raises:
            StorageError, ServiceUnavailable: a server is unavailable.
            StatusConflict: the batch has moved on meanwhile.
        """
        with TemporaryDirectory() as name, line_index(Path(name)) as index:
            if batch.plan:
                self._plan_again(batch, index, Path(name))
            else:
                self._plan_new(batch, index, Path(name))

    def _plan_new(self, batch: Batch, index: LineIndex, folder: Path) -> None:
        """Check every line of a batch, and plan those that can be served."""
        owner = batch.options.owner
        requester = Requester(owner, allow_private=self.keys.allow_private(owner))
        planner = Planner(partial(self.resolver.admit, requester=requester), self.base_models, self.image_format, index)
        self.storage.download(batch.input, folder / "input.jsonl")
        try:
            with (folder / "input.jsonl").open("rb") as file:
                planner.read(file)
            require_lines(planner, batch.options.on_error)
            if not batch.options.dry_run:
                self.quotas.charge_batch(owner, batch_key(batch.id), planner.pixel_steps)
        except (InvalidRequest, LimitExceeded) as error:
            failure = Failure(code=error.code, message=str(error))
            fields = {"error": failure, "skipped": planner.skipped, "errors": tuple(planner.errors)}
            self.batches.transition(batch, BatchStatus.FAILED, fields)
            return
        with (folder / "plan.jsonl").open("wb") as plan_file:
            plan = write_plan(planner.adapters, planner.groups(), plan_file.write)
        self._begin(batch, plan, folder / "plan.jsonl", skipped=planner.skipped, errors=tuple(planner.errors))

    def _plan_again(self, batch: Batch, index: LineIndex, folder: Path) -> None:
        """Plan the lines of a batch that have no images yet."""
        self.results.load(batch, index)
        former = self.plans.read(batch)
        remainder = Remainder(batch, former, self.plans, index, self.base_models, self.image_format)
        with (folder / "plan.jsonl").open("wb") as file:
            plan = write_plan(former.adapters, remainder.groups(), file.write)
        self._begin(batch, plan, folder / "plan.jsonl", ended=0, failed=0, canceled=0)

    def _begin(self, batch: Batch, plan: Plan, lines: Path, **fields: object) -> None:
        """Put a plan into storage, and let the batch run."""
        key = self.plans.put(batch, plan, lines)
        count = sum(group.lines for group in plan.groups)
        target = BatchStatus.PLANNED if batch.options.dry_run else BatchStatus.RUNNING
        changes = {"plan": key, "lines": count, "forecast": self.forecasts.of(plan), **fields}
        self.batches.transition(batch, target, changes, takes=plan_objects(key), leaves=batch.plan_objects)


def require_lines(planner: Planner, on_error: OnError) -> None:
    """Refuse a batch that cannot be run.

    Raises:
        InvalidRequest: it has no lines, or some that cannot be served and must not be passed over.
    """
    if planner.skipped and (on_error is OnError.REJECT or not planner.lines):
        raise InvalidRequest(f"{planner.skipped} lines are invalid; errors lists the first. Correct them.")
    if not planner.lines:
        raise InvalidRequest("The file has no lines. Send one request per line.")
