"""The processes without a device that run loops: ``python -m tasks.processes housekeeping|light-worker|webhooks``.

*Housekeeping* uses Valkey alone, so no request of a client can delay it. The *light worker* reads files
of clients and removes objects from storage. *Webhooks* sends to servers of clients. With ``--check`` the command
reports whether the loops of a running process are on time: for health checks.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tasks.celery import app
from tasks.durability import Durability
from tasks.errors import StokeholdError, ValkeyUnavailable
from tasks.logs import configure_logging
from tasks.loops.loop import Loop, run_until
from tasks.loops.quarantine import Quarantine
from tasks.loops.rounds import LOOPS, LoopAge, Rounds
from tasks.outbound import safe_http
from tasks.scratch import own_scratch
from tasks.service import Service
from tasks.webhooks.sender import Sender

logger = logging.getLogger(__name__)

Round = Callable[[], None]

SHORT_PERIOD_S = 1.0
WITHOUT_DELAY = frozenset({"planning", "webhooks"})
"""Loops that a client waits for: they have a short period."""


def rounds_of(service: Service) -> Mapping[str, Round]:
    """One round of each loop."""
    return {
        "leases": service.housekeeping.requeue_lapsed,
        "deadlines": service.housekeeping.end_late,
        "unsent": service.housekeeping.send_unsent,
        "lost-messages": service.housekeeping.resend_lost,
        "planning": service.batch_rounds.plan,
        "batches": service.batch_rounds.advance,
        "images": service.images.settle_all,
        "unrecorded-objects": service.retention.remove_objects,
        "expired-batches": service.retention.remove_batches,
        "expired-jobs": service.retention.remove_jobs,
        "adapter-headers": service.adapter_folders.read_new,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the loops of a process until SIGTERM or SIGINT.

    Raises:
        SystemExit: the configuration is wrong; with ``--check``, a loop is overdue or Valkey does not answer.
    """
    parser = argparse.ArgumentParser(prog="python -m tasks.processes", description="Run the loops of a process.")
    parser.add_argument("process", choices=LOOPS)
    parser.add_argument("--check", action="store_true", help="only report whether its loops are on time")
    options = parser.parse_args(arguments)
    try:
        service = app.service
        if not options.check:
            check_server(service.durability)
    except StokeholdError as error:
        sys.exit(f"stokehold: {error}")
    configure_logging(service.settings.log_level, prompts=service.settings.log_prompts)
    if options.check:
        check(service.rounds, options.process)
    else:
        run(service, options.process)


def check_server(durability: Durability) -> None:
    """Refuse a server that would forget jobs. One that is temporarily unavailable is waited for.

    Raises:
        ConfigurationError: as ``Durability.check_server``.
    """
    try:
        durability.check_server()
    except ValkeyUnavailable as error:
        logger.warning("%s", error)


def run(service: Service, process: str) -> None:
    """Run the loops of a process until a signal stops it."""
    release_all(service.quarantine)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with own_scratch(), sender_of(service) as sender:
        run_until(stop, loops_of(service, process, sender))


def sender_of(service: Service) -> Sender:
    """The sender of webhooks."""
    post = partial(safe_http.post, allow_loopback=service.settings.webhook_allow_loopback)
    return Sender(
        service.webhook_ends,
        service.deliveries,
        service.webhook_secrets,
        service.webhook_notices,
        service.quarantine,
        post=post,
    )


def release_all(quarantine: Quarantine) -> None:
    """Put quarantined records back, which this version may understand; without Valkey the next start does."""
    try:
        quarantine.release_all()
    except ValkeyUnavailable as error:
        logger.warning("nothing is released from quarantine: %s", error)


def loops_of(service: Service, process: str, sender: Sender) -> list[Loop]:
    """The loops of a process."""
    period_s = service.settings.housekeeping_s
    rounds = {**rounds_of(service), "webhooks": sender.round}
    short_s = min(SHORT_PERIOD_S, period_s)
    return [
        Loop(
            name=name,
            period_s=short_s if name in WITHOUT_DELAY else period_s,
            max_s=max_s,
            round=rounds[name],
            finished=service.rounds.finished,
        )
        for name, max_s in LOOPS[process].items()
    ]


def check(rounds: Rounds, process: str) -> None:
    """Return if the loops of a process are on time.

    Raises:
        SystemExit: one is not; the message names it.
    """
    try:
        late = [age for age in rounds.ages(process) if age.overdue or age.age_s is None]
    except ValkeyUnavailable as error:
        sys.exit(f"stokehold: {error}")
    if late:
        sys.exit("\n".join(map(complaint, late)))


def complaint(age: LoopAge) -> str:
    """Return the complaint about an overdue loop."""
    last = "has finished no round yet" if age.age_s is None else f"last finished a round {age.age_s:g} s ago"
    return f"stokehold: the loop {age.loop} {last}."


if __name__ == "__main__":
    main()
