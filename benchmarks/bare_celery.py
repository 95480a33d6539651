"""A Celery worker that draws and does nothing else: what the service is held against.

celery -A benchmarks.bare_celery worker --pool threads --concurrency 1
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from celery import Celery

from tasks.base_models.registry import read_base_models
from tasks.settings import settings
from tasks.valkey import connect
from workers.base.device import choose_device
from workers.base.pipeline import load_pipeline

QUEUE = "bare"
DONE = "bare:done"
"""Counter in Valkey of what is drawn."""

app = Celery("bare", broker=settings().valkey_url)
app.conf.update(task_default_queue=QUEUE, worker_prefetch_multiplier=1, task_ignore_result=True)
valkey = connect(settings().valkey_url)


@cache
def pipeline() -> Any:
    """The base model, loaded by the thread that draws, as torch is fastest (``workers.base.device_thread``)."""
    return load_pipeline(read_base_models(settings().models_file).default, choose_device(settings().device))


@app.task(name="bare.draw")
def draw(prompt: str, side: int, steps: int, seed: int) -> None:
    """Draw an image and throw it away."""
    generator = torch.Generator("cpu").manual_seed(seed)
    pipeline()(prompt, width=side, height=side, num_inference_steps=steps, guidance_scale=3.0, generator=generator)
    valkey.incr(DONE)
