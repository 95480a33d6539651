"""Manifests: everything known that an image depends on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from tasks.adapters.file.identity import AdapterSource
from tasks.fields import StoredRecord
from tasks.jobs.job import Job, JobSpec, ScaledAdapter, shown
from tasks.jobs.result import Environment, FactDifference, Provenance

METADATA_KEY = "stokehold"
"""The PNG text chunk that holds the manifest of the one image as JSON; JPEG and WebP have it as ImageDescription."""


class Manifest(Provenance, StoredRecord):
    """Everything that fixes an image. The same manifest draws the same image.

    Inside an image it names no job, so that the same image has the same bytes. An image is shown to others: a
    manifest never says where an uploaded adapter lies in storage.
    """

    job: str | None = Field(None, description="id of the job that drew it; null inside the image")
    spec: Annotated[JobSpec, AfterValidator(shown)] = Field(
        description="the request, complete, with its adapters pinned to commits"
    )
    base: str = Field(description="fingerprint of all weights of the base model as they were loaded")
    environment: Environment

    @classmethod
    def of(cls, job: Job, base: str, provenance: Provenance) -> Self:
        """Return the manifest of a job's images.

        A file of a folder stands in it with its SHA-256: its version would change with its time.

        Args:
            base: fingerprint of the base model.
        """
        files = provenance.adapter_files or (None,) * len(job.spec.adapters)
        merged = tuple(with_file(*pair) for pair in zip(job.spec.adapters, files, strict=True))
        spec = job.spec.model_copy(update={"adapters": merged})
        return cls(job=job.id, spec=spec, base=base, **dict(provenance))

    def of_image(self, seed: int) -> Manifest:
        """The manifest inside one image of the job: of a job that draws just this one."""
        alone = self.spec.model_copy(update={"seed": seed, "image_count": 1})
        return self.model_copy(update={"job": None, "spec": alone})


def manifest_of(job: Job) -> Manifest | None:
    """The manifest of a job, once it has succeeded."""
    result = job.result
    if result.base is None or result.environment is None:
        return None
    return Manifest.of(job, result.base.fingerprint, result.provenance)


def with_file(scaled: ScaledAdapter, sha256: str | None) -> ScaledAdapter:
    """Return an adapter as its file was merged, where its commit does not say that already."""
    if scaled.adapter.source is not AdapterSource.FOLDER or sha256 is None:
        return scaled
    return scaled.model_copy(update={"adapter": scaled.adapter.model_copy(update={"commit": sha256, "sha256": sha256})})


def differences(then: Manifest, now: Manifest) -> tuple[FactDifference, ...]:
    """The facts, beside the job's id, in which two manifests differ."""
    before, after = dict(facts(then)), dict(facts(now))
    names = sorted(before.keys() | after.keys())
    return tuple(
        FactDifference(name=name, then=before.get(name, "none"), now=after.get(name, "none"))
        for name in names
        if before.get(name) != after.get(name)
    )


def facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The facts of a manifest by name."""
    yield "base", manifest.base
    yield "spec", manifest.spec.model_dump_json()
    yield "adapter_files", " ".join(manifest.adapter_files)
    yield "batch_size", str(manifest.batch_size)
    yield "device", manifest.environment.device
    yield "dtype", manifest.environment.dtype
    for name, version in manifest.environment.versions.items():
        yield f"versions.{name}", version
