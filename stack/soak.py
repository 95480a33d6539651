"""Minutes of random faults under load on the real stack, and a ledger at the end: ``scripts/soak``."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from stack.broken_adapters import write_broken
from stack.client import Client
from stack.errors import StackError
from stack.faults import Faults
from stack.folder import StackFolder
from stack.ledger import Ledger, find, take_stock
from stack.load import Load
from stack.local_stack import LocalStack
from stack.parts import Parts
from stack.ports import Ports
from stack.services import base_worker_part
from stack.supervisor import say_now
from storage import S3Storage, StorageError
from tasks.celery import Application
from tasks.errors import BrokerUnavailable, StokeholdError
from tasks.job_keys import LEASES, UPLOADS
from tasks.service import Service, storage_config
from tasks.settings import PREFIX, Settings, settings

WORKERS = 2
PATIENCE_S = 600
"""How long the jobs may take that are left when the faults are over."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Soak, and print the ledger.

    Raises:
        SystemExit: the ledger is not clean, or the stack does not start.
    """
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("minutes", type=float, help="of faults; the start and the end take two more")
    parser.add_argument("--seed", type=int, default=None, help="of the faults and jobs, to see them once more")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the output, all else on stderr")
    options = parser.parse_args(arguments)
    seed = random.randrange(10**6) if options.seed is None else options.seed
    report(f"Seed: {seed}")
    try:
        ledger = soak(options.minutes * 60, random.Random(seed))
    except (StackError, StokeholdError, StorageError) as error:
        sys.exit(f"stokehold: {error}")
    if options.json:
        say_now(json.dumps(ledger.as_dict()))
    else:
        say_now("\n".join(f"  {name:<12} {value}" for name, value in ledger.as_dict().items()))
    if not ledger.is_clean:
        sys.exit("stokehold: the ledger is not clean.")


def report(line: str) -> None:
    """Tell how it goes, beside the ledger."""
    print(line, file=sys.stderr, flush=True)


def soak(seconds: float, choice: random.Random) -> Ledger:
    """Run the stack under load and faults for so long, let it come to rest, and take stock.

    Raises:
        StackError, StokeholdError, StorageError: a part does not start, or does not come back.
    """
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="stokehold-soak-")))
        broken = write_broken(folder / "broken")
        stack = LocalStack(StackFolder(folder), Ports.free(), settings())
        parts = Parts(stack.folder)
        cleanup.callback(parts.stop)
        service, workers = start(stack, parts, broken)
        client = Client(stack.api, stack.given.api_key)
        faults = Faults(parts, service, workers, choice, report)
        with Load(client, service, random.Random(choice.random())) as load:
            faults.run(seconds, load.accepted)
        report("The faults are over.")
        come_to_rest(service, load.accepted)
        logs = [stack.folder.log(name) for name in workers]
        return take_stock(service, load.accepted, logs, faults.done)


def start(stack: LocalStack, parts: Parts, broken: Path) -> tuple[Service, tuple[str, ...]]:
    """Start everything, with a worker more than usual; the service as this process sees it, and the workers' names."""
    values = dict(stack.overrides)
    folders = ":".join(str(path) for path in (*stack.given.adapter_folders, broken))
    configuration = Settings.model_validate({**values, "adapter_folders": folders})
    environment = {f"{PREFIX}{name.upper()}": value for name, value in values.items()}
    environment |= {f"{PREFIX}ADAPTER_FOLDERS": folders, f"{PREFIX}CHECK_EVERY_SWAPS": "10", "OMP_NUM_THREADS": "1"}
    parts.start(stack.servers())
    S3Storage(storage_config(configuration)).ensure_bucket()
    ours = [replace(part, environment={**part.environment, **environment}) for part in stack.services(configuration)]
    *others, worker = ours
    slug = worker.name.removeprefix("worker-")
    more = [base_worker_part(slug, configuration.broker_url, environment) for _ in range(WORKERS)]
    workers = [replace(part, name=f"{part.name}-{number}") for number, part in enumerate(more)]
    parts.start([*others, *workers])
    return Application(configuration).service, tuple(part.name for part in workers)


def come_to_rest(service: Service, accepted: Sequence[str]) -> None:
    """Return when every job has ended and every upload is settled, or when that takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and not at_rest(service, accepted):
        time.sleep(1)


def at_rest(service: Service, accepted: Sequence[str]) -> bool:
    """Whether nothing is left to be done."""
    try:
        jobs = [find(service, job_id) for job_id in accepted]
        ended = all(job is None or job.status.is_terminal for job in jobs)
        waiting = sum(service.store.waiting(model.slug) for model in service.base_models)
        return ended and not (waiting or service.broker.zcard(LEASES) or service.broker.scard(UPLOADS))
    except BrokerUnavailable:
        return False


if __name__ == "__main__":
    main()
