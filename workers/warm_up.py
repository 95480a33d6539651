"""Load a base model and put a worker's parts together around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.constants import HF_HUB_CACHE

from tasks.base_models import Pristine, ServedModel
from tasks.service import Service
from tasks.worker_registry import MergedAdapter, WorkerMemory, WorkerNote
from workers.adapter_cache import AdapterCache
from workers.backfill import Backfill
from workers.cancellations import Cancellations
from workers.disk_cache import DiskCache
from workers.heartbeat import Heartbeat
from workers.hub_downloads import DownloadBounds
from workers.module_shapes import shapes_of
from workers.prepare import load_adapter
from workers.readiness import Readiness
from workers.runner import JobRunner
from workers.stops import Stops
from workers.surroundings import surroundings_of
from workers.warm_pipeline import WarmPipeline

BEATS_PER_LEASE = 4


@dataclass(frozen=True)
class Worker:
    """A worker's parts: what draws, and the threads beside it."""

    runner: JobRunner
    heartbeat: Heartbeat
    cancellations: Cancellations
    readiness: Readiness
    backfill: Backfill
    stops: Stops

    def start(self) -> None:
        """Start the threads that must be there before the first job.

        Raises:
            BrokerUnavailable: Valkey does not answer.
        """
        self.heartbeat.start()
        self.cancellations.start()
        self.readiness.start()

    def stop(self) -> None:
        """End the threads, the heartbeat last: until then jobs are drawn."""
        self.backfill.stop()
        self.readiness.stop()
        self.cancellations.stop()
        self.heartbeat.stop()


def warm_up(service: Service, model: ServedModel, load: Callable[[], Any], device: torch.device, worker: str) -> Worker:
    """Load the pipeline and make a worker for jobs of this base model. It takes no jobs before it is started.

    Raises:
        ConfigurationError: as ``load`` does.
        BrokerUnavailable: Valkey does not answer.
    """
    pristine_device = torch.device("cpu") if model.pristine is Pristine.HOST else None
    warm = WarmPipeline(load, pristine_device=pristine_device, check_every=service.settings.check_every_swaps)
    shapes = shapes_of(model, warm.shell)
    service.shapes.publish(model.slug, shapes)
    disk = DiskCache(Path(HF_HUB_CACHE), service.settings.adapter_disk_bytes)
    stops = Stops()
    bounds = DownloadBounds(service.settings.adapter_bytes_per_s, service.settings.adapter_patience_s, stops.soon)
    load_one = partial(load_adapter, service, disk, warm, bounds)
    adapters = AdapterCache(load_one, max_bytes=service.settings.adapter_memory_bytes)

    heartbeat = Heartbeat(
        service.store,
        service.workers,
        partial(note_of, worker, model, device, warm, adapters),
        period_s=service.settings.lease_s / BEATS_PER_LEASE,
        remind=partial(service.shapes.keep, model.slug, shapes),
    )
    cancellations = Cancellations(service.broker)
    runner = JobRunner(
        service,
        warm,
        adapters,
        heartbeat,
        cancellations,
        slug=model.slug,
        worker=worker,
        surroundings=surroundings_of(model, device),
        stops=stops,
    )
    return Worker(
        runner,
        heartbeat,
        cancellations,
        Readiness(service, adapters, model.slug, max_bytes=service.settings.adapter_memory_bytes // 2),
        Backfill(partial(service.backfill.claim, model.slug, worker, model.max_batch), runner.run, stops.soon),
        stops,
    )


def note_of(
    worker: str, model: ServedModel, device: torch.device, warm: WarmPipeline, adapters: AdapterCache
) -> WorkerNote:
    """What a worker is at the moment."""
    return WorkerNote(
        name=worker,
        base_model=model.slug,
        device=str(device),
        memory=WorkerMemory(weights=warm.bytes, pristine=warm.pristine_bytes, adapters=adapters.bytes),
        reloads=warm.reloads,
        merged=tuple(MergedAdapter(ref=item.adapter.ref, scale=item.scale) for item in warm.merged),
    )
