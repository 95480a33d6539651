"""Run the stack under load and faults, wait until it is idle, and check the outcome."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.history.checker import check
from stack.history.event import Kind, Request
from stack.history.operations import operations_of
from stack.history.recorder import Caller, Recorder, read_history
from stack.soak.faults import Fault, Faults, Say
from stack.soak.ledger import find, take_stock
from stack.soak.load import Load
from stack.soak.part_faults import PartFaults
from stack.soak.receiver import Receiver, receiving
from stack.soak.report import Report, accepted_jobs, outcomes
from stack.soak.server_faults import NetworkFaults, StoreFaults
from stack.soak.soak_stack import SoakStack, soak_stack
from stack.soak.users import Users
from tasks.errors import ValkeyUnavailable
from tasks.jobs.keyspace import LEASES, UNSETTLED_IMAGES, WEBHOOKS
from tasks.service import Service

MAX_WAIT_S = 600
"""Longest time, in seconds, for the jobs that are left when the faults are over."""

SOAK = Caller("soak", "soak")


@dataclass(frozen=True)
class Plan:
    """The plan of a soak.

    Attributes:
        seconds: of faults.
        choice: the chance, of faults and of clients.
        only: names of the faults; None means all.
        history: file for the operations of the clients; None means one that is removed.
    """

    seconds: float
    choice: random.Random
    only: Sequence[str] | None = None
    history: Path | None = None


def soak(plan: Plan, folder: Path, say: Say) -> Report:
    """Run the stack in a folder under load and faults, and return the report.

    Raises:
        StackError, StokeholdError, StorageError: a part does not start, or does not come back.
    """
    choice, history = plan.choice, plan.history or folder / "history.jsonl"
    with ExitStack() as cleanup:
        soak = cleanup.enter_context(soak_stack(folder))
        recorder = cleanup.enter_context(Recorder(history))
        everyone = Users(soak.service, soak.url, soak.receiver, recorder, random.Random(choice.random()))
        receiver = Receiver(recorder, everyone.webhook_secrets, random.Random(choice.random()))
        cleanup.enter_context(receiving(receiver, soak.receiver))
        users = tuple(everyone.users(adapters_of(soak)))
        kinds = chosen(kinds_of_faults(soak, receiver, recorder, everyone.everyones, choice), plan.only)
        faults = Faults(soak.parts, kinds, choice, say)
        with Load(users, random.Random(choice.random())) as load:
            faults.run(plan.seconds)
        say("The faults are over.")
        load.settle()
        come_to_rest(soak.service, everyone.everyones)
        recorder.saw(SOAK, Request(kind=Kind.CALM))
        load.look_at_all()
        return report_of(soak, history, faults)


def adapters_of(soak: SoakStack) -> Sequence[str]:
    """Names of the adapters of the folders, broken ones among them."""
    return [
        path.stem for folder in soak.service.settings.adapter_folders for path in sorted(folder.glob("*.safetensors"))
    ]


def kinds_of_faults(
    soak: SoakStack, receiver: Receiver, recorder: Recorder, everyones: list[str], choice: random.Random
) -> Mapping[str, Fault]:
    """Every fault, by name."""
    parts = PartFaults(soak.parts, choice)
    network = NetworkFaults(soak.api, soak.valkey, soak.storage, receiver, choice)
    store = StoreFaults(soak.service, recorder, everyones, choice)
    return {**parts.of_each(soak.servers), **parts.of_workers(soak.orders), **network.kinds(), **store.kinds()}


def chosen(kinds: Mapping[str, Fault], only: Sequence[str] | None) -> Mapping[str, Fault]:
    """Return the faults of these names.

    Raises:
        StackError: there is no fault of this name; the message has the names.
    """
    if unknown := set(only or ()) - set(kinds):
        raise StackError(f"There is no fault {min(unknown)!r}. Choose from {', '.join(sorted(kinds))}.")
    return {name: fault for name, fault in kinds.items() if only is None or name in only}


def come_to_rest(service: Service, accepted: Sequence[str]) -> None:
    """Wait until everything has ended and every upload is settled, or for too long."""
    deadline = time.monotonic() + MAX_WAIT_S
    while time.monotonic() < deadline and not at_rest(service, accepted):
        time.sleep(1)


def at_rest(service: Service, accepted: Sequence[str]) -> bool:
    """Return whether nothing is left to be done."""
    try:
        jobs = [find(service, job_id) for job_id in accepted]
        ended = all(job is None or job.status.is_terminal for job in jobs)
        waiting = sum(service.index.waiting(model.slug) for model in service.base_models)
        held = service.valkey.zcard(LEASES) or service.valkey.scard(UNSETTLED_IMAGES) or service.valkey.zcard(WEBHOOKS)
        return ended and not (waiting or held or service.batches.active())
    except ValkeyUnavailable:
        return False


def report_of(soak: SoakStack, history: Path, faults: Faults) -> Report:
    """Check what clients saw, and what is stored at the end.

    Raises:
        ValkeyUnavailable, StorageError: a server is unavailable.
    """
    operations = operations_of(read_history(history))
    accepted, forgettable = accepted_jobs(operations)
    ledger = take_stock(soak.service, accepted, soak.worker_logs, faults.done, forgettable)
    return Report(ledger, check(read_history(history)), outcomes(operations), faults.died)
