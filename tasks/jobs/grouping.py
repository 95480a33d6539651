"""The groups of backfill jobs: the same adapters need one swap, and the same settings may be drawn in one pass."""

from __future__ import annotations

import hashlib
import json

from tasks.jobs.job import JobOptions, JobSpec
from tasks.jobs.keyspace import group_key

MAY_DIFFER = frozenset({"prompt", "negative_prompt", "seed", "image_format"})
"""Fields of a specification that a pass takes from each of its jobs; every other field is the same for all of them."""

DESCRIBES_THE_FILE = frozenset({"ref", "sha256", "size_bytes", "base_model", "object_key"})
"""Fields of an adapter that follow from its source, repository, commit and file name, or do not matter to a swap."""


def group_of(spec: JobSpec, options: JobOptions) -> str:
    """The key of the group that a backfill job belongs to: its base model, its owner, its adapters and their scales."""
    return group_key(spec.base_model, options.owner, adapters_digest(spec))


def adapters_digest(spec: JobSpec) -> str:
    """Return a digest of the adapters, their order and their scales."""
    excluded = {"adapter": set(DESCRIBES_THE_FILE)}
    return digest([scaled.model_dump(mode="json", exclude=excluded, exclude_none=True) for scaled in spec.adapters])


def settings_digest(spec: JobSpec) -> str:
    """Return a digest that is the same for jobs of one group whose images one pass of the pipeline can draw.

    A pass has a negative prompt for each of its jobs, or for none of them.
    """
    settings = spec.model_dump(mode="json", exclude=set(MAY_DIFFER), exclude_none=True)
    return digest([settings, spec.negative_prompt is None])


def digest(value: object) -> str:
    """Return a digest of a value as JSON."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=12).hexdigest()
