"""A job's specification and its manifest for tests that need one and do not care which."""

from __future__ import annotations

from tasks.fields import ImageFormat
from tasks.jobs.job import JobSpec
from tasks.jobs.manifest import Manifest
from tasks.jobs.result import Environment

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

VERSIONS = {"torch": "2.13.0", "stokehold": "0.1.0"}
ENVIRONMENT = Environment(device="cpu x86_64 AVX2", dtype="float32", versions=VERSIONS)


def manifest(spec: JobSpec = SPEC, base: str = "0123456789abcdef") -> Manifest:
    """What made an image of this specification."""
    return Manifest(job="job", spec=spec, adapter_files=(), base=base, environment=ENVIRONMENT)
