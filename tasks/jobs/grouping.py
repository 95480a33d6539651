"""Which backfill jobs go together: the same adapters need one swap, and the same settings may be drawn in one pass."""

from __future__ import annotations

import hashlib

from tasks.jobs.job import JobOptions, JobSpec
from tasks.jobs.keyspace import group_key


def group_of(spec: JobSpec, options: JobOptions) -> str:
    """The key of the group that a backfill job belongs to: its base model, its owner, its adapters and their scales."""
    return group_key(spec.base_model, options.owner, adapters_digest(spec))


def adapters_digest(spec: JobSpec) -> str:
    """The same for the same adapters in the same order at the same scales, and for nothing else."""
    files = [tuple(map(str, scaled.adapter.version)) for scaled in spec.adapters]
    scales = [scaled.scale for scaled in spec.adapters]
    newer = [(scaled.model_extra, scaled.adapter.model_extra) for scaled in spec.adapters]
    return hashlib.blake2b(repr((files, scales, newer)).encode(), digest_size=12).hexdigest()


def settings_digest(spec: JobSpec) -> str:
    """The same for jobs of one group whose images one pass of the pipeline can draw."""
    shape = (spec.image_count, spec.width, spec.height, spec.steps)
    settings = (*shape, spec.guidance_scale, spec.scheduler, spec.negative_prompt is None, spec.model_extra)
    return hashlib.blake2b(repr(settings).encode(), digest_size=12).hexdigest()
