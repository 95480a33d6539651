"""Load a base model and put a worker's parts together around it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.constants import HF_HUB_CACHE

from tasks.base_models import Pristine, ServedModel
from tasks.service import Service
from tasks.worker_registry import MergedAdapter, WorkerMemory, WorkerNote
from workers.adapter_cache import AdapterCache
from workers.cancellations import Cancellations
from workers.disk_cache import DiskCache
from workers.heartbeat import Heartbeat
from workers.hub_downloads import DownloadBounds
from workers.module_shapes import shapes_of
from workers.prepare import load_adapter
from workers.readiness import Readiness
from workers.runner import JobRunner
from workers.surroundings import surroundings_of
from workers.warm_pipeline import WarmPipeline

BEATS_PER_LEASE = 4


def warm_up(
    service: Service, model: ServedModel, load: Callable[[], Any], device: torch.device, worker: str
) -> JobRunner:
    """Load the pipeline and make a runner for jobs of this base model. Its threads are not started yet.

    Raises:
        ConfigurationError: as ``load`` does.
        BrokerUnavailable: Valkey does not answer.
    """
    pristine_device = torch.device("cpu") if model.pristine is Pristine.HOST else None
    warm = WarmPipeline(load, pristine_device=pristine_device, check_every=service.settings.check_every_swaps)
    shapes = shapes_of(model, warm.shell)
    service.shapes.publish(model.slug, shapes)
    disk = DiskCache(Path(HF_HUB_CACHE), service.settings.adapter_disk_bytes)
    stopping = threading.Event()
    bounds = DownloadBounds(service.settings.adapter_bytes_per_s, service.settings.adapter_patience_s, stopping)
    load_one = partial(load_adapter, service, disk, warm, bounds)
    adapters = AdapterCache(load_one, max_bytes=service.settings.adapter_memory_bytes)

    def note() -> WorkerNote:
        return WorkerNote(
            name=worker,
            base_model=model.slug,
            device=str(device),
            memory=WorkerMemory(weights=warm.bytes, pristine=warm.pristine_bytes, adapters=adapters.bytes),
            reloads=warm.reloads,
            merged=tuple(MergedAdapter(ref=item.adapter.ref, scale=item.scale) for item in warm.merged),
        )

    heartbeat = Heartbeat(
        service.store,
        service.workers,
        note,
        period_s=service.settings.lease_s / BEATS_PER_LEASE,
        remind=partial(service.shapes.keep, model.slug, shapes),
    )
    return JobRunner(
        service,
        warm,
        adapters,
        heartbeat,
        Cancellations(service.broker),
        Readiness(service, adapters, model.slug, max_bytes=service.settings.adapter_memory_bytes // 2),
        slug=model.slug,
        worker=worker,
        surroundings=surroundings_of(model, device),
        stopping=stopping,
    )
