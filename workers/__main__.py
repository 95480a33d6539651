"""Start a worker for one base model: ``stokehold worker --base <slug>``."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from celery.signals import worker_ready, worker_shutting_down

from storage import StorageError
from tasks.celery import Application, app
from tasks.errors import StokeholdError
from tasks.lanes.queues import queue_of
from tasks.logs import configure_logging
from tasks.objects.storage_config import make_storage
from tasks.scratch import own_scratch
from tasks.service import Service
from workers.adapters import reader
from workers.base.device import choose_device
from workers.base.pipeline import load_pipeline
from workers.run.worker_exit import ExitCode, terminate
from workers.worker import Worker, warm_up

logger = logging.getLogger("workers")

SWITCH_INTERVAL_S = 0.0005
"""Longest time, in seconds, that the drawing thread waits for the interpreter after each call into torch.
With Python's 5 ms, reading an adapter would delay it for as long as the reading takes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the pipeline, then take messages until a shutdown.

    Raises:
        SystemExit: the worker cannot start; the message says what to change.
    """
    parser = argparse.ArgumentParser(prog="stokehold worker", description=__doc__)
    parser.add_argument("--base", required=True, metavar="SLUG", help="base model to serve, as models.toml names it")
    slug = parser.parse_args(arguments).base
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    configure_logging(app.configuration.log_level, prompts=app.configuration.log_prompts)
    name = f"{slug}-{os.getpid()}@{socket.gethostname()}"
    with own_scratch():
        code = serve(slug, name)
    if code is not None:
        sys.exit(code)


def serve(slug: str, name: str) -> ExitCode | None:
    """Run the worker of this base model until it ends; return its exit code if it ended by itself.

    Raises:
        SystemExit: as ``main`` does.
    """
    # As the first process of a container it would heed none, and a thread that loads is not waited for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        worker = load_worker(app, slug, name)
        worker.start()
    except (StokeholdError, StorageError) as error:
        sys.exit(f"stokehold: {error}")
    app.runner = worker.runner

    def request_shutdown(**_: object) -> None:
        worker.shutdown.request_shutdown()

    def ready(**_: object) -> None:
        worker.backfill.start()  # not sooner: until now a SIGTERM is not Celery's, and ends the process at once

    worker_shutting_down.connect(request_shutdown)
    worker_ready.connect(ready)
    try:
        app.worker_main(celery_arguments(app, slug, name))
    finally:
        worker.stop()
    return worker.worker_exit.code


def load_worker(application: Application, slug: str, name: str) -> Worker:
    """Load the pipeline of a base model and put the worker's parts around it.

    Raises:
        StokeholdError, StorageError: a setting is wrong, or a server is unavailable.
    """
    service = service_of_worker(application)
    model = service.base_models.named(slug)
    service.durability.check_server()
    service.storage.ensure_buckets()
    device = choose_device(service.settings.device)
    worker = warm_up(
        service,
        model,
        partial(load_pipeline, model, device),
        device,
        worker=name,
        request_shutdown=terminate,
        server=reader.launch(),  # it imports what it needs while the base is loaded
    )
    logger.info("base model %s is warm on %s", model.slug, device)
    return worker


def service_of_worker(application: Application) -> Service:
    """Return the application's service, with uploads that do not delay the drawing thread.

    Raises:
        StorageMisconfigured: as ``make_storage``.
    """
    service = application.service
    return replace(service, storage=make_storage(service.settings, put_process=True))


def celery_arguments(application: Application, slug: str, name: str) -> list[str]:
    """Celery's worker command. In the ``threads`` pool a worker answers ping and inspect while it draws."""
    configuration = application.configuration
    return [
        "worker",
        "--pool=threads",
        f"--queues={queue_of(slug)}",
        f"--concurrency={configuration.concurrency}",
        f"--hostname={name}",
        f"--loglevel={configuration.log_level}",
        "--without-gossip",
        "--without-mingle",
    ]


if __name__ == "__main__":
    main()
