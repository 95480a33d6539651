"""The parts that the API and the workers share, put together from the settings."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cached_property

from celery import Celery

from storage import PublicBucket, S3Config, S3Storage
from tasks.adapters.catalogue.listing import CatalogueList
from tasks.adapters.catalogue.registration import Registrations
from tasks.adapters.catalogue.store import Catalogue
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.lookup.hub import AdapterHub
from tasks.adapters.lookup.resolver import AdapterResolver
from tasks.adapters.lookup.uploaded import UploadedAdapters
from tasks.adapters.passport.facts import FactsCache
from tasks.adapters.passport.passport import Passports
from tasks.base_models.registry import BaseModels, read_base_models
from tasks.base_models.shapes import ShapeStore
from tasks.batches.advance import BatchAdvance
from tasks.batches.control import BatchControl
from tasks.batches.expansion import BatchExpansion
from tasks.batches.forecast import Forecasts
from tasks.batches.job_list import BatchJobList
from tasks.batches.plan_files import PlanFiles
from tasks.batches.planning import BatchPlanning
from tasks.batches.progress import BatchProgress
from tasks.batches.record import BatchRecords
from tasks.batches.results import BatchResults
from tasks.batches.rounds import BatchRounds
from tasks.batches.store import BatchStore
from tasks.batches.submission import BatchSubmissions
from tasks.durability import Durability
from tasks.jobs.backfill_lane import BackfillLane
from tasks.jobs.images import Images
from tasks.jobs.index import JobIndex
from tasks.jobs.interactive_lane import InteractiveLane
from tasks.jobs.listing import JobList
from tasks.jobs.pace import Pace
from tasks.jobs.queues import JobQueues
from tasks.jobs.quotas import Quotas
from tasks.jobs.record import JobRecords
from tasks.jobs.recorder import JobRecorder
from tasks.jobs.retry import Retries
from tasks.jobs.store import JobStore
from tasks.jobs.submission import Submissions
from tasks.jobs.worker_registry import WorkerRegistry
from tasks.keys import ApiKeys
from tasks.loops.quarantine import Quarantine
from tasks.loops.rounds import Rounds
from tasks.objects.client_uploads import ClientUploads, Promises
from tasks.objects.keys import IMAGES
from tasks.objects.notes import ObjectNotes
from tasks.outbound.webhook_target import WebhookTargets
from tasks.settings import Settings
from tasks.upkeep.each_job import EachJob
from tasks.upkeep.housekeeping import Housekeeping
from tasks.upkeep.retention import Retention
from tasks.valkey import Valkey, connect
from tasks.webhooks.deliveries import Deliveries
from tasks.webhooks.notice import Notices
from tasks.webhooks.secrets import WebhookSecrets


@dataclass(frozen=True)
class Service:
    """Everything that a view or a worker needs: the parts, and the use cases that they make.

    A copy with another part, by ``dataclasses.replace``, has use cases of that part.
    """

    settings: Settings
    celery: Celery
    valkey: Valkey
    base_models: BaseModels
    adapter_folders: AdapterFolders
    resolver: AdapterResolver
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
    deliveries: Deliveries
    webhook_secrets: WebhookSecrets
    quarantine: Quarantine
    storage: S3Storage
    object_notes: ObjectNotes

    @cached_property
    def client_uploads(self) -> ClientUploads:
        return ClientUploads(
            Promises(self.valkey),
            self.object_notes,
            self.storage,
            self.quotas.count_upload,
            self.settings.url_ttl_s,
        )

    @cached_property
    def webhook_targets(self) -> WebhookTargets:
        return WebhookTargets(
            can_sign=self.settings.webhook_secret is not None,
            allow_http=self.settings.webhook_allow_http,
            allow_loopback=self.settings.webhook_allow_loopback,
        )

    @cached_property
    def queues(self) -> JobQueues:
        return JobQueues(self.celery, self.store)

    @cached_property
    def records(self) -> JobRecords:
        return JobRecords(self.index, self.pace, self.storage)

    @cached_property
    def images(self) -> Images:
        return Images(self.store, self.index, self.storage, self.quarantine)

    @cached_property
    def submissions(self) -> Submissions:
        return Submissions(
            image_format=self.settings.image_format,
            webhook_targets=self.webhook_targets,
            keys=self.keys,
            quotas=self.quotas,
            base_models=self.base_models,
            resolver=self.resolver,
            catalogue=self.catalogue,
            recorder=self.recorder,
            queues=self.queues,
            durability=self.durability,
        )

    @cached_property
    def job_list(self) -> JobList:
        return JobList(self.store, self.index, self.records)

    @cached_property
    def batch_job_list(self) -> BatchJobList:
        return BatchJobList(self.batch_progress, self.store, self.records)

    @cached_property
    def retries(self) -> Retries:
        return Retries(self.submissions, self.recorder, self.store, self.index, self.keys, self.settings.retention_s)

    @cached_property
    def each_job(self) -> EachJob:
        return EachJob(self.quarantine, self.store, self.index)

    @cached_property
    def housekeeping(self) -> Housekeeping:
        return Housekeeping(
            each_job=self.each_job,
            store=self.store,
            index=self.index,
            queues=self.queues,
            base_models=self.base_models,
            max_attempts=self.settings.max_attempts,
            now=self.valkey.now,
        )

    @cached_property
    def retention(self) -> Retention:
        return Retention(
            batches=self.batches,
            each_job=self.each_job,
            store=self.store,
            index=self.index,
            storage=self.storage,
            object_notes=self.object_notes,
            quarantine=self.quarantine,
        )

    @cached_property
    def batch_progress(self) -> BatchProgress:
        return BatchProgress(self.valkey)

    @cached_property
    def batch_control(self) -> BatchControl:
        return BatchControl(self.batches)

    @cached_property
    def batch_records(self) -> BatchRecords:
        return BatchRecords(self.batches, self.batch_progress, self.storage)

    @cached_property
    def batch_submissions(self) -> BatchSubmissions:
        return BatchSubmissions(
            batches=self.batches,
            quotas=self.quotas,
            storage=self.storage,
            notes=self.object_notes,
            client_uploads=self.client_uploads,
            webhook_targets=self.webhook_targets,
        )

    @cached_property
    def batch_results(self) -> BatchResults:
        return BatchResults(self.batch_progress, self.store, self.records, self.storage, self.object_notes)

    @cached_property
    def batch_plans(self) -> PlanFiles:
        return PlanFiles(self.storage, self.object_notes)

    @cached_property
    def batch_planning(self) -> BatchPlanning:
        return BatchPlanning(
            batches=self.batches,
            plans=self.batch_plans,
            results=self.batch_results,
            forecasts=Forecasts(self.index, self.workers),
            storage=self.storage,
            resolver=self.resolver,
            keys=self.keys,
            quotas=self.quotas,
            base_models=self.base_models,
            image_format=self.settings.image_format,
        )

    @cached_property
    def batch_expansion(self) -> BatchExpansion:
        return BatchExpansion(
            progress=self.batch_progress,
            plans=self.batch_plans,
            recorder=self.recorder,
            workers=self.workers,
            base_models=self.base_models,
            image_format=self.settings.image_format,
        )

    @cached_property
    def batch_advance(self) -> BatchAdvance:
        return BatchAdvance(
            batches=self.batches,
            progress=self.batch_progress,
            plans=self.batch_plans,
            expansion=self.batch_expansion,
            results=self.batch_results,
            jobs=self.store,
        )

    @cached_property
    def batch_rounds(self) -> BatchRounds:
        return BatchRounds(self.batches, self.quarantine, self.batch_planning.plan, self.batch_advance.advance)

    @cached_property
    def webhook_notices(self) -> Notices:
        return Notices(self.store, self.batches, self.records, self.batch_records)

    @cached_property
    def registrations(self) -> Registrations:
        return Registrations(
            catalogue=self.catalogue,
            folders=self.adapter_folders,
            resolver=self.resolver,
            client_uploads=self.client_uploads,
            object_notes=self.object_notes,
            storage=self.storage,
            max_stored=self.quotas.max_stored,
            max_bytes=self.settings.adapter_max_bytes,
        )

    @cached_property
    def catalogue_list(self) -> CatalogueList:
        return CatalogueList(self.catalogue, self.adapter_folders)


def build_service(settings: Settings, celery: Celery) -> Service:
    """Put the parts together. Nothing is connected to yet.

    Raises:
        ConfigurationError: ``models.toml`` or an adapter folder is wrong.
    """
    valkey = connect(settings.valkey_url)
    keys = ApiKeys(valkey, required=settings.api_keys_required)
    base_models = read_base_models(settings.models_file)
    adapter_folders = AdapterFolders(settings.adapter_folders, base_models)
    shapes = ShapeStore(valkey)
    passports = Passports(base_models, shapes, FactsCache(valkey), max_bytes=settings.adapter_max_bytes)
    store = JobStore(valkey, lease_s=settings.lease_s)
    index = JobIndex(valkey, retention_s=settings.retention_s)
    workers = WorkerRegistry(valkey, forget_after_s=settings.lease_s)
    storage = S3Storage(storage_config(settings))
    catalogue = Catalogue(valkey, pinned_bytes=settings.adapter_memory_bytes // 2)
    return Service(
        settings=settings,
        celery=celery,
        valkey=valkey,
        base_models=base_models,
        adapter_folders=adapter_folders,
        resolver=AdapterResolver(
            adapter_folders,
            AdapterHub(),
            catalogue.find_file,
            UploadedAdapters(storage),
            passports,
            ttl_s=settings.resolution_ttl_s,
        ),
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
        deliveries=Deliveries(valkey, keep_s=settings.retention_s),
        webhook_secrets=WebhookSecrets(valkey, settings.webhook_secret),
        quarantine=Quarantine(valkey),
        storage=storage,
        object_notes=ObjectNotes(valkey),
    )


def storage_config(settings: Settings) -> S3Config:
    """What ``storage`` needs of the settings."""
    return S3Config(
        endpoint=settings.s3_endpoint,
        public_endpoint=settings.s3_public_endpoint,
        region=settings.s3_region,
        bucket=settings.s3_bucket,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value() if settings.s3_secret_key else None,
        create_bucket=settings.s3_create_bucket,
        public=public_bucket(settings),
        url_ttl_s=settings.url_ttl_s,
    )


def public_bucket(settings: Settings) -> PublicBucket | None:
    """Where the images lie, if everybody may read them; the manifest of an image, and all else, never lies there."""
    if settings.public_base_url is None or settings.s3_public_bucket is None:
        return None
    return PublicBucket(name=settings.s3_public_bucket, prefix=IMAGES, base_url=settings.public_base_url)
