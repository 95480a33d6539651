"""A job's specification and its manifest for tests that need one and do not care which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.base_models.registry import Scheduler
from tasks.fields import ImageFormat
from tasks.jobs.job import Job, JobOptions, JobSpec, Lane, ScaledAdapter
from tasks.jobs.manifest import Manifest
from tasks.jobs.recorder import JobRecorder
from tasks.jobs.result import Environment
from tasks.requests.job import JobRequest
from tasks.service import Service

SPEC = JobSpec(
    base_model="demo",
    prompt="a red circle",
    negative_prompt=None,
    adapters=(),
    width=64,
    height=64,
    steps=20,
    guidance_scale=3.0,
    scheduler=None,
    seed=1,
    image_count=1,
    image_format=ImageFormat.PNG,
)

PIN = ResolvedAdapter(
    ref="neon",
    source=AdapterSource.FOLDER,
    repository="neon",
    commit="0" * 64,
    sha256="0" * 64,
    size_bytes=8,
    weight_name="neon.safetensors",
    base_model="demo",
    object_key=None,
)
SCALED = ScaledAdapter(adapter=PIN, scale=1.0)

OTHER_SPEC: Mapping[str, Any] = {
    "base_model": "sdxl",
    "prompt": "a blue circle",
    "negative_prompt": "red",
    "adapters": (SCALED,),
    "width": 32,
    "height": 32,
    "steps": 21,
    "guidance_scale": 3.5,
    "scheduler": Scheduler.EULER,
    "clip_skip": 1,
    "seed": 2,
    "image_count": 2,
    "image_format": ImageFormat.JPEG,
}
"""For each field of a specification, another value than that of ``SPEC``."""

VERSIONS = {"torch": "2.13.0", "stokehold": "0.1.0"}
ENVIRONMENT = Environment(device="cpu x86_64 AVX2", dtype="float32", versions=VERSIONS)


def manifest(spec: JobSpec = SPEC, base: str = "0123456789abcdef") -> Manifest:
    """What made an image of this specification."""
    return Manifest(job="job", spec=spec, adapter_files=(), base=base, environment=ENVIRONMENT)


def recorded(
    recorder: JobRecorder,
    spec: JobSpec,
    lane: Lane = Lane.INTERACTIVE,
    options: JobOptions = JobOptions(),  # noqa: B008 (frozen)
) -> Job:
    """A new job in the store, whose message is not sent."""
    job, _ = recorder.create_once(recorder.new_id(), spec, lane, options, None)
    return job


def submitted_to(service: Service, lane: Lane, request: JobRequest) -> Job:
    """A job of a request in either lane; one of the backfill lane is not a line of a batch here."""
    if lane is Lane.INTERACTIVE:
        return service.submissions.submit(request)
    spec, _ = service.submissions.specify(request, None)
    return recorded(service.recorder, spec, lane)
