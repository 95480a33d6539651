"""The parts that the use cases of the service are made of, built from the settings."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Self

from celery import Celery

from storage import Storage
from tasks.adapters.catalogue.store import Catalogue
from tasks.adapters.lookup.addressed import AddressedAdapters
from tasks.adapters.lookup.addressed_files import AddressedFiles, make_addressed_files
from tasks.adapters.lookup.checksums import Checksums
from tasks.adapters.lookup.file_memory import SharedMemory
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.lookup.hub import AdapterHub
from tasks.adapters.lookup.resolver import AdapterResolver
from tasks.adapters.lookup.uploaded import UploadedAdapters
from tasks.adapters.passport.facts import FactsCache
from tasks.adapters.passport.passport import Passports
from tasks.base_models.registry import BaseModels, read_base_models
from tasks.base_models.shapes import ShapeStore
from tasks.batches.store import BatchStore
from tasks.client_jobs.quotas import Quotas
from tasks.durability import Durability
from tasks.jobs.index import JobIndex
from tasks.jobs.recorder import JobRecorder
from tasks.jobs.store import JobStore
from tasks.keys import ApiKeys
from tasks.lanes.backfill_lane import BackfillLane
from tasks.lanes.interactive_lane import InteractiveLane
from tasks.lanes.pace import Pace
from tasks.lanes.worker_registry import WorkerRegistry
from tasks.loops.quarantine import Quarantine
from tasks.loops.rounds import Rounds
from tasks.objects.notes import ObjectNotes
from tasks.objects.storage_config import make_storage
from tasks.settings import Settings
from tasks.valkey import Valkey, connect
from tasks.webhooks.deliveries import Deliveries
from tasks.webhooks.ends import Ends
from tasks.webhooks.secrets import WebhookSecrets


@dataclass(frozen=True)
class Parts:
    """The settings, connections and stores of a process."""

    settings: Settings
    celery: Celery
    valkey: Valkey
    base_models: BaseModels
    adapter_folders: AdapterFolders
    resolver: AdapterResolver
    addressed_files: AddressedFiles
    checksums: Checksums
    shapes: ShapeStore
    catalogue: Catalogue
    store: JobStore
    index: JobIndex
    recorder: JobRecorder
    interactive: InteractiveLane
    backfill: BackfillLane
    batches: BatchStore
    workers: WorkerRegistry
    pace: Pace
    keys: ApiKeys
    durability: Durability
    quotas: Quotas
    rounds: Rounds
    webhook_ends: Ends
    deliveries: Deliveries
    webhook_secrets: WebhookSecrets
    quarantine: Quarantine
    storage: Storage
    object_notes: ObjectNotes

    @classmethod
    def build(cls, settings: Settings, celery: Celery) -> Self:
        """Put the parts together. Nothing is connected to yet.

        Raises:
            ConfigurationError: ``models.toml`` or an adapter folder is wrong.
        """
        valkey = connect(settings.valkey_url)
        keys = ApiKeys(valkey, required=settings.api_keys_required)
        base_models = read_base_models(settings.models_file)
        adapter_folders = AdapterFolders(settings.adapter_folders, base_models, SharedMemory(valkey))
        shapes = ShapeStore(valkey)
        passports = Passports(base_models, shapes, FactsCache(valkey), max_bytes=settings.adapter_max_bytes)
        store = JobStore(valkey, lease_s=settings.lease_s)
        index = JobIndex(valkey, retention_s=settings.retention_s)
        workers = WorkerRegistry(valkey, forget_after_s=settings.lease_s)
        storage = make_storage(settings)
        addressed_files, checksums = make_addressed_files(settings), Checksums(valkey)
        addressed = AddressedAdapters(addressed_files, checksums)
        catalogue = Catalogue(valkey, pinned_bytes=settings.adapter_memory_bytes // 2)
        return cls(
            settings=settings,
            celery=celery,
            valkey=valkey,
            base_models=base_models,
            adapter_folders=adapter_folders,
            resolver=resolver(
                adapter_folders, catalogue, storage, passports, addressed, ttl_s=settings.resolution_ttl_s
            ),
            addressed_files=addressed_files,
            checksums=checksums,
            shapes=shapes,
            catalogue=catalogue,
            store=store,
            index=index,
            recorder=JobRecorder(valkey, new_id=lambda: uuid.uuid4().hex),
            interactive=InteractiveLane(valkey, store, workers),
            backfill=BackfillLane(valkey, store, workers),
            batches=BatchStore(valkey, retention_s=settings.retention_s),
            workers=workers,
            pace=Pace(index, workers),
            keys=keys,
            durability=Durability(valkey, settings.accepted_when),
            quotas=Quotas(valkey, keys),
            rounds=Rounds(valkey, period_s=settings.housekeeping_s),
            webhook_ends=Ends(valkey),
            deliveries=Deliveries(valkey, keep_s=settings.retention_s),
            webhook_secrets=WebhookSecrets(valkey, settings.webhook_secret),
            quarantine=Quarantine(valkey),
            storage=storage,
            object_notes=ObjectNotes(valkey),
        )


def resolver(
    folders: AdapterFolders,
    catalogue: Catalogue,
    storage: Storage,
    passports: Passports,
    addressed: AddressedAdapters,
    *,
    ttl_s: float,
) -> AdapterResolver:
    """Return what finds adapters in every place that a reference may name."""
    return AdapterResolver(
        folders,
        AdapterHub(),
        catalogue.find_file,
        UploadedAdapters(storage),
        passports,
        addressed=addressed,
        ttl_s=ttl_s,
    )
