"""A job's specification for tests that need one and do not care which."""

from __future__ import annotations

from tasks.image_format import ImageFormat
from tasks.job import JobSpec

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
