"""From a request to a queued job."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from tasks.adapters.catalogue.store import Catalogue
from tasks.adapters.lookup.resolver import AdapterResolver, Admitted, Requester, choose_base_model
from tasks.base_models.registry import BaseModels
from tasks.client_jobs.quotas import Quotas
from tasks.client_jobs.specification import check_limits, complete, scale_of
from tasks.durability import Durability
from tasks.errors import BaseModelNotServed, StatusConflict
from tasks.fields import ImageFormat
from tasks.jobs.idempotency import Idempotency, idempotency_of, idempotency_of_replay
from tasks.jobs.job import Job, JobOptions, JobSpec, Lane, ScaledAdapter, Status
from tasks.jobs.recorder import JobRecorder
from tasks.keys import ApiKeys
from tasks.lanes.queues import JobQueues
from tasks.outbound.webhook_target import WebhookTargets
from tasks.requests.job import JobRequest


@dataclass(frozen=True)
class Submissions:
    """Takes requests: records their jobs and sends the messages."""

    image_format: ImageFormat
    webhook_targets: WebhookTargets
    keys: ApiKeys
    quotas: Quotas
    base_models: BaseModels
    resolver: AdapterResolver
    catalogue: Catalogue
    recorder: JobRecorder
    queues: JobQueues
    durability: Durability

    def submit(self, request: JobRequest, *, owner: str | None = None, idempotency_key: str | None = None) -> Job:
        """Record a job and send its message to the queue of its base model.

        A known idempotency key gives its first job. When this returns, the job is where the settings want an accepted
        one to be.

        Args:
            owner: id of the client's API key; None where no key is configured.
            idempotency_key: chosen by the client.

        Raises:
            IdempotencyConflict: the key was used for another request.
            InvalidRequest: an adapter, the base model or a setting cannot be served; the error names the field.
            LimitExceeded: the client's API key has used as much as it may; nothing is counted.
            ServiceUnavailable: the job store or the Hub does not answer.
        """
        if request.webhook_url is not None:
            self.webhook_targets.check(request.webhook_url, owner)
        idempotency = None if idempotency_key is None else idempotency_of(request, idempotency_key, owner)
        # Asked before the adapters are resolved, which may have moved or been removed since: the first job counts.
        if first := self.accepted_before(idempotency):
            return first
        spec, warnings = self.specify(request, owner)
        options = JobOptions(
            owner=owner,
            weight=self.keys.weight(owner),
            deadline_s=request.deadline_s,
            webhook_url=request.webhook_url,
            warnings=warnings,
        )
        return self.enqueue(spec, options, idempotency)

    def specify(self, request: JobRequest, owner: str | None) -> tuple[JobSpec, tuple[str, ...]]:
        """Return the complete specification of a request, and warnings about its adapters.

        Raises:
            InvalidRequest, ServiceUnavailable: as ``submit`` does.
        """
        admitted = self.admit_adapters(request, owner)
        adapters = tuple(
            ScaledAdapter(adapter=adapter.adapter, scale=scale_of(requested, adapter.default_scale))
            for adapter, requested in zip(admitted, request.adapters, strict=True)
        )
        model = choose_base_model(request.base_model, [scaled.adapter for scaled in adapters], self.base_models)
        spec = complete(request, model, adapters, secrets.randbelow, self.image_format)
        return spec, tuple(warning for adapter in admitted for warning in adapter.warnings_for(request.prompt))

    def enqueue(self, spec: JobSpec, options: JobOptions, idempotency: Idempotency | None = None) -> Job:
        """Record a job of a complete specification and send its message; a known idempotency key gives its first job.

        Raises:
            IdempotencyConflict, LimitExceeded, ServiceUnavailable: as ``submit`` does.
        """
        job_id = self.recorder.new_id()
        with self.quotas.reserved(options.owner, job_id, spec):
            job, is_new = self.recorder.create_once(job_id, spec, Lane.INTERACTIVE, options, idempotency)
        if is_new:
            self.catalogue.note_use(tuple(scaled.adapter for scaled in spec.adapters), job.created_at.timestamp())
            self.queues.send(job)
        else:
            self.quotas.refund(options.owner, job_id, spec)
        self.durability.confirm()
        return job

    def accepted_before(self, idempotency: Idempotency | None) -> Job | None:
        """The first job of an idempotency key, if there is one, as safe as a new one.

        Raises:
            IdempotencyConflict: the key belongs to another request.
        """
        first = None if idempotency is None else self.recorder.created_before(idempotency)
        if first is not None:
            self.durability.confirm()
        return first

    def replay(self, job: Job, *, idempotency_key: str | None = None) -> Job:
        """Queue a job with exactly the specification of one that succeeded; its adapters are not resolved again.

        Raises:
            BaseModelNotServed: no worker draws with its base model any more.
            IdempotencyConflict: the key was used for another request.
            InvalidRequest: the limits of its base model were lowered since.
            LimitExceeded: its owner has used as much as it may.
            StatusConflict: it has not succeeded.
        """
        owner = job.options.owner
        weight = self.keys.weight(owner)
        options = JobOptions(owner=owner, weight=weight, warnings=job.options.warnings, replay_of=job.id)
        idempotency = None if idempotency_key is None else idempotency_of_replay(job.id, idempotency_key, options.owner)
        if first := self.accepted_before(idempotency):
            return first
        if job.status is not Status.SUCCEEDED:
            raise StatusConflict(f"Job {job.id!r} is {job.status}; only a job that has succeeded can be replayed.")
        self.require_drawable(job.spec)
        return self.enqueue(job.spec, options, idempotency)

    def require_drawable(self, spec: JobSpec) -> None:
        """Check that a specification of an earlier job can still be drawn.

        Raises:
            BaseModelNotServed: no worker draws with its base model any more.
            InvalidRequest: the limits of its base model were lowered since.
        """
        model = self.base_models.find(spec.base_model)
        if model is None or model.slug != spec.base_model:  # another model's alias by now, with other weights
            raise BaseModelNotServed(f"Base model {spec.base_model!r} of this job is not served here any more.")
        check_limits(spec, model)

    def admit_adapters(self, request: JobRequest, owner: str | None) -> list[Admitted]:
        """The adapters of a request, as far as the client may use them and they fit.

        Raises:
            InvalidRequest: one of them cannot be used; the error names its field.
            ServiceUnavailable: Valkey or the Hub does not answer.
        """
        if not request.adapters:
            return []
        requester = Requester(owner, allow_private=self.keys.allow_private(owner))
        return [
            self.resolver.admit(
                adapter.ref, field=f"adapters.{index}.ref", requester=requester, preferred=request.base_model
            )
            for index, adapter in enumerate(request.adapters)
        ]
