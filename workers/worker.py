"""Load a base model and put a worker's parts together around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.constants import HF_HUB_CACHE

from tasks.base_models.registry import Pristine, ServedModel
from tasks.jobs.worker_registry import MergedAdapter, WorkerMemory, WorkerNote
from tasks.objects.keys import IMAGES
from tasks.service import Service
from workers.activity import Bounds
from workers.adapters.cache import AdapterCache
from workers.adapters.disk_cache import DiskCache
from workers.adapters.hub_download import DownloadBounds
from workers.adapters.loader import AdapterLoader
from workers.adapters.preload import AdapterPreloader
from workers.adapters.shapes import shapes_of
from workers.adapters.shell import LoaderShell
from workers.base.device import environment_of
from workers.run.attempt import Attempt
from workers.run.backfill import Backfill
from workers.run.health import Health
from workers.run.heartbeat import Heartbeat
from workers.run.runner import JobRunner
from workers.run.self_test import KnownImage, SelfTest
from workers.run.shutdown import Cancellations, Shutdown
from workers.run.watchdog import Watchdog
from workers.run.worker_exit import ExitCode, WorkerExit
from workers.stages.compare import ReplayComparison
from workers.swap.warm_pipeline import WarmPipeline

BEATS_PER_LEASE = 4
LOOKS_PER_STALL = 10


@dataclass(frozen=True)
class Worker:
    """A worker's parts: what draws, and the threads beside it."""

    runner: JobRunner
    heartbeat: Heartbeat
    watchdog: Watchdog
    worker_exit: WorkerExit
    cancellations: Cancellations
    preloader: AdapterPreloader
    backfill: Backfill
    shutdown: Shutdown

    def start(self) -> None:
        """Start the threads that must be there before the first job.

        Raises:
            ValkeyUnavailable: Valkey does not answer.
        """
        self.heartbeat.start()
        self.watchdog.start()
        self.cancellations.start()
        self.preloader.start()

    def stop(self) -> None:
        """End the threads, the heartbeat and the watchdog last: until then jobs are drawn."""
        self.backfill.stop()
        self.preloader.stop()
        self.cancellations.stop()
        self.heartbeat.stop()
        self.watchdog.stop()


def warm_up(
    service: Service,
    model: ServedModel,
    load: Callable[[], Any],
    device: torch.device,
    *,
    worker: str,
    request_shutdown: Callable[[], None] = lambda: None,
) -> Worker:
    """Load the pipeline and make a worker for jobs of this base model. It takes no jobs before it is started.

    Args:
        worker: its name.
        request_shutdown: ends the process as a SIGTERM does, when the worker finds that it must not go on.

    Raises:
        ConfigurationError: as ``load`` does.
        SelfTestFailed: it cannot draw, keep files or store objects.
        ValkeyUnavailable: Valkey does not answer.
    """
    settings = service.settings
    pristine_device = torch.device("cpu") if model.pristine is Pristine.HOST else None
    warm = WarmPipeline(load, pristine_device=pristine_device, check_every=settings.check_every_swaps)
    shell = LoaderShell(warm.base.pipeline)
    shapes = shapes_of(model, shell)
    service.shapes.publish(model.slug, shapes)
    disk = DiskCache(Path(HF_HUB_CACHE), settings.adapter_disk_bytes)
    shutdown = Shutdown()
    worker_exit = WorkerExit(shutdown, request_shutdown)
    known = KnownImage.drawn(warm, model)
    self_test = SelfTest(warm, known, disk.folder, service.storage, f"{IMAGES}self-test/{worker}")
    self_test.keep_file()
    health = Health(
        self_test,
        reload=partial(warm.device_thread.run, warm.discard, first=True),
        leave=partial(worker_exit.exit_gracefully, ExitCode.UNHEALTHY),
    )
    bounds = DownloadBounds(settings.adapter_bytes_per_s, settings.adapter_grace_s, shutdown.graceful)
    loader = AdapterLoader(
        service.adapter_folders, service.storage, disk, shell, max_bytes=settings.adapter_max_bytes, bounds=bounds
    )
    adapters = AdapterCache(loader, max_bytes=settings.adapter_memory_bytes)

    heartbeat = Heartbeat(
        service.store,
        service.workers,
        partial(note_of, worker, model, device, warm=warm, adapters=adapters, health=health),
        period_s=settings.lease_s / BEATS_PER_LEASE,
        remind=partial(service.shapes.keep, model.slug, shapes),
    )
    cancellations = Cancellations(service.valkey)
    period_s = min(1.0, settings.stall_s / LOOKS_PER_STALL)
    watchdog = Watchdog(worker, shutdown, worker_exit, stall_s=settings.stall_s, period_s=period_s)
    storage_s = settings.storage_wait_s
    attempt_bounds = Bounds(settings.stall_s, settings.attempt_s, storage_s, known.pixel_step_s, warm.load_s)
    runner = JobRunner(
        service,
        warm,
        adapters,
        heartbeat,
        watchdog,
        health,
        begin=partial(Attempt, service, cancellations, shutdown, bounds=attempt_bounds, awake=watchdog.clock),
        slug=model.slug,
        worker=worker,
        comparison=ReplayComparison(service.store, service.storage),
        environment=environment_of(model, device),
        shutdown=shutdown,
    )
    return Worker(
        runner,
        heartbeat,
        watchdog,
        worker_exit,
        cancellations,
        AdapterPreloader(service.catalogue, adapters, model.slug, max_bytes=settings.adapter_memory_bytes // 2),
        Backfill(
            partial(service.backfill.claim, model.slug, worker, model.max_batch), runner.run_jobs, shutdown.graceful
        ),
        shutdown,
    )


def note_of(
    worker: str,
    model: ServedModel,
    device: torch.device,
    *,
    warm: WarmPipeline,
    adapters: AdapterCache,
    health: Health,
) -> WorkerNote:
    """What a worker is at the moment."""
    return WorkerNote(
        name=worker,
        base_model=model.slug,
        device=str(device),
        memory=WorkerMemory(weights=warm.bytes, pristine=warm.pristine_bytes, adapters=adapters.bytes),
        reloads=warm.reloads,
        unhealthy=health.unhealthy,
        merged=tuple(MergedAdapter(ref=item.adapter.ref, scale=item.scale) for item in warm.merged),
    )
