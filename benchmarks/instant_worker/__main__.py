"""A worker whose pipeline returns at once: all of a real one but the drawing.

    python -m benchmarks.instant_worker --base demo

It runs what ``python -m workers`` runs: Celery's worker, the claim, the three stages, the heartbeat and the store.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from tasks.celery import app
from tasks.logs import configure_logging
from workers.__main__ import SWITCH_INTERVAL_S, celery_arguments, service_of_worker
from workers.base.pipeline import load_pipeline
from workers.worker import warm_up


class InstantPipeline(StableDiffusionPipeline):  # type: ignore[misc]
    """Stable Diffusion that takes no step. It reports its last one, as a pipeline that draws does."""

    def __call__(
        self,
        *,
        prompt: Sequence[str],
        width: int,
        height: int,
        num_inference_steps: int,
        callback_on_step_end: Callable[[Any, int, Any, dict[str, Any]], Mapping[str, Any]],
        **_: object,
    ) -> Any:
        """A black image for each prompt."""
        self._num_timesteps = num_inference_steps
        callback_on_step_end(self, num_inference_steps - 1, None, {})
        return SimpleNamespace(images=[Image.new("RGB", (width, height)) for _ in prompt])


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the base model, then take messages until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instant_worker", description=__doc__)
    parser.add_argument("--base", required=True, metavar="SLUG")
    slug = parser.parse_args(arguments).base
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    configure_logging(app.configuration.log_level, prompts=app.configuration.log_prompts)
    name = f"{slug}-{os.getpid()}@{socket.gethostname()}"
    device = torch.device("cpu")
    service = service_of_worker(app)
    model = service.base_models.named(slug)
    worker = warm_up(
        service, model, lambda: InstantPipeline(**load_pipeline(model, device).components), device, worker=name
    )
    app.runner = worker.runner
    worker.heartbeat.start()
    try:
        app.worker_main(celery_arguments(app, slug, name))
    finally:
        worker.heartbeat.stop()


if __name__ == "__main__":
    main()
