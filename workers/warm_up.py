"""Put a worker's parts together around a loaded pipeline."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tasks.base_models import Pristine, ServedModel
from tasks.service import Service
from tasks.worker_registry import MergedAdapter, WorkerNote
from workers.adapter_cache import AdapterCache
from workers.draw import WarmPipeline
from workers.heartbeat import Heartbeat
from workers.loader_shell import LoaderShell
from workers.merge_engine import MergeEngine
from workers.prepare import load_adapter
from workers.runner import JobRunner

BEATS_PER_LEASE = 4


def warm_up(service: Service, model: ServedModel, pipeline: Any, device: torch.device, worker: str) -> JobRunner:
    """A runner for jobs of this base model. Its heartbeat is not started yet."""
    pristine_device = torch.device("cpu") if model.pristine is Pristine.HOST else None
    warm = WarmPipeline(pipeline, MergeEngine(pipeline, pristine_device), device, pipeline.scheduler)

    def note() -> WorkerNote:
        merged = tuple(MergedAdapter(ref=item.adapter.ref, scale=item.scale) for item in warm.engine.merged)
        return WorkerNote(name=worker, base_model=model.slug, device=str(device), merged=merged)

    load = partial(load_adapter, service.adapter_folders, LoaderShell(pipeline))
    return JobRunner(
        service=service,
        warm=warm,
        adapters=AdapterCache(load, max_bytes=service.settings.adapter_memory_bytes),
        heartbeat=Heartbeat(service.store, service.workers, note, period_s=service.settings.lease_s / BEATS_PER_LEASE),
        worker=worker,
    )
