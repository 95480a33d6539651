"""The use cases of the service, which the API, the workers and the loops share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tasks.adapters.catalogue.listing import CatalogueList
from tasks.adapters.catalogue.registration import Registrations
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
from tasks.batches.submission import BatchSubmissions
from tasks.client_jobs.listing import JobList
from tasks.client_jobs.record import JobRecords
from tasks.client_jobs.retry import Retries
from tasks.client_jobs.submission import Submissions
from tasks.jobs.images import Images
from tasks.lanes.queues import JobQueues
from tasks.objects.client_uploads import ClientUploads, OpenUploads
from tasks.outbound.webhook_target import WebhookTargets
from tasks.parts import Parts
from tasks.upkeep.each_job import EachJob
from tasks.upkeep.housekeeping import Housekeeping
from tasks.upkeep.retention import Retention
from tasks.webhooks.notice import Notices


@dataclass(frozen=True)
class Service(Parts):
    """The use cases, each made of the parts that it uses.

    A copy with another part, by ``dataclasses.replace``, has use cases of that part.
    """

    @cached_property
    def client_uploads(self) -> ClientUploads:
        return ClientUploads(
            OpenUploads(self.valkey),
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
