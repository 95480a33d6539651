"""Start a worker for one base model: ``python -m workers --base <slug>``."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from functools import partial

import torch

from storage import StorageError
from tasks.base_models import Pristine
from tasks.celery import Application, app
from tasks.errors import StokeholdError
from tasks.routing import queue_of
from tasks.worker_registry import MergedAdapter, WorkerNote
from workers.adapter_cache import AdapterCache
from workers.device import choose_device
from workers.draw import WarmPipeline
from workers.heartbeat import Heartbeat
from workers.loader_shell import LoaderShell
from workers.merge_engine import MergeEngine
from workers.pipeline import load_pipeline
from workers.prepare import load_adapter
from workers.runner import JobRunner

logger = logging.getLogger("workers")

BEATS_PER_LEASE = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the pipeline, then take messages until told to stop.

    Raises:
        SystemExit: the worker cannot start; the message says what to change.
    """
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--base", required=True, metavar="SLUG", help="base model to serve, as models.toml names it")
    slug = parser.parse_args(arguments).base
    logging.basicConfig(level=app.configuration.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        heartbeat = install_runner(app, slug, worker=f"{slug}-{os.getpid()}@{socket.gethostname()}")
    except (StokeholdError, StorageError) as error:
        sys.exit(f"stokehold: {error}")
    try:
        app.worker_main(celery_arguments(app, slug))
    finally:
        heartbeat.stop()


def install_runner(application: Application, slug: str, worker: str) -> Heartbeat:
    """Warm the pipeline up, install the runner and start the heartbeat.

    Raises:
        StokeholdError, StorageError: something that the worker needs is missing.
    """
    service = application.service
    model = service.base_models.named(slug)
    service.storage.ensure_bucket()
    device = choose_device(service.settings.device)
    pipeline = load_pipeline(model, device)
    pristine_device = torch.device("cpu") if model.pristine is Pristine.HOST else None
    warm = WarmPipeline(pipeline, MergeEngine(pipeline, pristine_device), device, pipeline.scheduler)
    load = partial(load_adapter, service.adapter_folders, LoaderShell(pipeline))
    adapters = AdapterCache(load, max_bytes=service.settings.adapter_memory_bytes)

    def note() -> WorkerNote:
        merged = tuple(MergedAdapter(ref=item.adapter.ref, scale=item.scale) for item in warm.engine.merged)
        return WorkerNote(name=worker, base_model=model.slug, device=str(device), merged=merged)

    period_s = service.settings.lease_s / BEATS_PER_LEASE
    heartbeat = Heartbeat(service.store, service.workers, note, period_s=period_s)
    application.runner = JobRunner(service, warm, adapters, heartbeat, worker)
    heartbeat.start()
    logger.info("base model %s is warm on %s", model.slug, device)
    return heartbeat


def celery_arguments(application: Application, slug: str) -> list[str]:
    """Celery's worker command. In the ``threads`` pool a worker answers ping, inspect and revoke while it draws."""
    configuration = application.configuration
    return [
        "worker",
        "--pool=threads",
        f"--queues={queue_of(slug)}",
        f"--concurrency={configuration.concurrency}",
        f"--hostname={slug}-{os.getpid()}@%h",
        f"--loglevel={configuration.log_level}",
        "--without-gossip",
        "--without-mingle",
    ]


if __name__ == "__main__":
    main()
