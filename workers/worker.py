"""A worker of one base model: its pipeline, its parts, and the threads that they run on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.constants import HF_HUB_CACHE

from tasks.base_models.registry import Pristine, ServedModel
from tasks.base_models.shapes import BaseShapes
from tasks.lanes.worker_registry import MergedAdapter, WorkerMemory, WorkerNote
from tasks.objects.keys import IMAGES
from tasks.service import Service
from workers.activity import Bounds
from workers.adapters.addressed import AddressedDownloads
from workers.adapters.cache import AdapterCache
from workers.adapters.disk_cache import DiskCache
from workers.adapters.hub_download import DownloadBounds
from workers.adapters.loader import AdapterLoader
from workers.adapters.preload import AdapterPreloader
from workers.adapters.reader import AdapterReader, ServerProcess
from workers.adapters.shapes import shapes_of
from workers.adapters.shell import LoaderShell
from workers.adapters.unreadable import UnreadableFiles
from workers.base.device import environment_of
from workers.run.attempt import Attempt
from workers.run.backfill import Backfill
from workers.run.health import Health
from workers.run.heartbeat import Heartbeat
from workers.run.runner import BeginAttempt, JobRunner
from workers.run.running import RunningAttempts
from workers.run.self_test import KnownImage, SelfTest
from workers.run.settlement import Settlement
from workers.run.shutdown import Cancellations, Shutdown
from workers.run.stages import Stages
from workers.run.watchdog import Watchdog
from workers.run.worker_exit import ExitCode, WorkerExit
from workers.stages.compare import ReplayComparison
from workers.swap.parsed_adapter import pinned_block, private_block
from workers.swap.warm_pipeline import WarmPipeline

BEATS_PER_LEASE = 4
LOOKS_PER_STALL = 10


@dataclass(frozen=True)
class Worker:
    """A worker whose pipeline is warm. It takes no jobs before it is started.

    Attributes:
        shell: the pipeline without its weights.
        reader: reads adapters for it.
        known: the image by which the worker tests itself.
        request_shutdown: ends the process as a SIGTERM does, when the worker finds that it must not go on.
    """

    service: Service
    model: ServedModel
    device: torch.device
    name: str
    warm: WarmPipeline
    shell: LoaderShell
    reader: AdapterReader
    known: KnownImage
    request_shutdown: Callable[[], None]

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
        self.reader.stop()

    def note(self) -> WorkerNote:
        """Return what the worker is at the moment."""
        return WorkerNote(
            name=self.name,
            base_model=self.model.slug,
            device=str(self.device),
            memory=WorkerMemory(
                weights=self.warm.bytes, pristine=self.warm.pristine_bytes, adapters=self.adapters.bytes
            ),
            reloads=self.warm.reloads,
            unhealthy=self.health.unhealthy,
            merged=tuple(MergedAdapter(ref=item.adapter.ref, scale=item.scale) for item in self.warm.merged),
        )

    @cached_property
    def runner(self) -> JobRunner:
        return JobRunner(
            self.service.interactive,
            self.service.queues,
            self.stages,
            self.settlement,
            self.running,
            self.health,
            begin=self.begin_attempt,
            slug=self.model.slug,
            worker=self.name,
            shutdown=self.shutdown,
        )

    @cached_property
    def backfill(self) -> Backfill:
        claim = partial(self.service.backfill.claim, self.model.slug, self.name, self.model.max_batch)
        return Backfill(claim, self.runner.run_jobs, self.shutdown.graceful)

    @cached_property
    def stages(self) -> Stages:
        return Stages(
            self.warm,
            self.adapters,
            self.service.images,
            self.service.storage,
            ReplayComparison(self.service.store, self.service.storage),
            environment_of(self.model, self.device),
            self.service.settings.storage_wait_s,
        )

    @cached_property
    def begin_attempt(self) -> BeginAttempt:
        return partial(
            Attempt,
            self.service.store,
            self.cancellations,
            self.shutdown,
            bounds=self.bounds,
            awake=self.watchdog.clock,
        )

    @cached_property
    def bounds(self) -> Bounds:
        settings = self.service.settings
        return Bounds(
            settings.stall_s,
            settings.attempt_s,
            settings.storage_wait_s,
            self.known.pixel_step_s,
            self.warm.load_s,
            settings.adapter_read_s,
            settings.adapter_max_bytes,
        )

    @cached_property
    def running(self) -> RunningAttempts:
        return RunningAttempts()

    @cached_property
    def settlement(self) -> Settlement:
        service = self.service
        return Settlement(service.store, service.queues, service.images, self.name, service.settings.max_attempts)

    @cached_property
    def heartbeat(self) -> Heartbeat:
        return Heartbeat(
            self.service.store,
            self.service.workers,
            self.running,
            self.note,
            period_s=self.service.settings.lease_s / BEATS_PER_LEASE,
            remind=partial(self.service.shapes.keep, self.model.slug, self.shapes),
        )

    @cached_property
    def watchdog(self) -> Watchdog:
        stall_s = self.service.settings.stall_s
        return Watchdog(
            self.running,
            self.settlement,
            self.shutdown,
            self.worker_exit,
            stall_s=stall_s,
            period_s=min(1.0, stall_s / LOOKS_PER_STALL),
        )

    @cached_property
    def health(self) -> Health:
        return Health(
            self.self_test,
            reload=partial(self.warm.device_thread.run, self.warm.discard, first=True),
            leave=partial(self.worker_exit.exit_gracefully, ExitCode.UNHEALTHY),
        )

    @cached_property
    def self_test(self) -> SelfTest:
        key = f"{IMAGES}self-test/{self.name}"
        return SelfTest(self.warm, self.known, self.disk.folder, self.service.storage, key)

    @cached_property
    def cancellations(self) -> Cancellations:
        return Cancellations(self.service.valkey)

    @cached_property
    def shutdown(self) -> Shutdown:
        return Shutdown()

    @cached_property
    def worker_exit(self) -> WorkerExit:
        return WorkerExit(self.shutdown, self.request_shutdown)

    @cached_property
    def adapters(self) -> AdapterCache:
        settings = self.service.settings
        loader = AdapterLoader(
            self.service.adapter_folders,
            self.service.storage,
            AddressedDownloads(self.service.addressed_files, self.service.checksums),
            self.disk,
            self.reader,
            UnreadableFiles(self.service.valkey),
            max_bytes=settings.adapter_max_bytes,
            bounds=DownloadBounds(settings.adapter_bytes_per_s, settings.adapter_grace_s, self.shutdown.graceful),
        )
        return AdapterCache(loader, max_bytes=settings.adapter_memory_bytes)

    @cached_property
    def preloader(self) -> AdapterPreloader:
        max_bytes = self.service.settings.adapter_memory_bytes // 2
        return AdapterPreloader(self.service.catalogue, self.adapters, self.model.slug, max_bytes=max_bytes)

    @cached_property
    def disk(self) -> DiskCache:
        return DiskCache(Path(HF_HUB_CACHE), self.service.settings.adapter_disk_bytes)

    @cached_property
    def shapes(self) -> BaseShapes:
        return shapes_of(self.model, self.shell)


def warm_up(
    service: Service,
    model: ServedModel,
    load: Callable[[], Any],
    device: torch.device,
    *,
    worker: str,
    request_shutdown: Callable[[], None] = lambda: None,
    server: ServerProcess | None = None,
) -> Worker:
    """Load the pipeline of this base model, see that it draws, and make a worker around it.

    Args:
        worker: its name.
        request_shutdown: as in ``Worker``.
        server: reads adapters; if there is none yet, the first adapter starts it.

    Raises:
        ConfigurationError: as ``load`` does.
        SelfTestFailed: it cannot draw, or keep files.
        ValkeyUnavailable: Valkey does not answer.
    """
    pristine_device = torch.device("cpu") if model.pristine is Pristine.HOST else None
    warm = WarmPipeline(load, pristine_device=pristine_device, check_every=service.settings.check_every_swaps)
    shell = LoaderShell(warm.base.pipeline)
    reader = AdapterReader(
        shell,
        parse_s=service.settings.adapter_read_s,
        allocate=pinned_block if device.type == "cuda" else private_block,
        server=server,
    )
    known = KnownImage.drawn(warm, model)
    made = Worker(service, model, device, worker, warm, shell, reader, known, request_shutdown)
    made.self_test.keep_file()
    service.shapes.publish(model.slug, made.shapes)
    return made
