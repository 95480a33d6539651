"""A job with a LoRA shows its effect; the next one without it is drawn by a fresh base. On the real demo model."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from demo.effects import EFFECTS, shows
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.base_models.registry import read_base_models
from tasks.celery import Application
from tasks.requests.job import JobRequest
from tasks.service import Service
from tasks.settings import Settings
from workers.base.pipeline import load_pipeline
from workers.run.runner import JobRunner
from workers.worker import warm_up

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

ROOT = Path(__file__).parents[3]
PROMPT = "a red circle on a blue background"
CPU = torch.device("cpu")

BASE_MODELS = read_base_models(ROOT / "models.toml")
ADAPTERS = {adapter.name: adapter for adapter in AdapterFolders([ROOT / "demo" / "loras"], BASE_MODELS).adapters()}


@pytest.fixture
def service(servers: dict[str, Any]) -> Service:
    return Application(Settings.model_validate(servers)).service


@pytest.fixture
def runner(service: Service) -> JobRunner:
    model = service.base_models.default
    return warm_up(service, model, lambda: load_pipeline(model, CPU), CPU, worker="demo-1@here").runner


@pytest.fixture
def fresh_image() -> Image.Image:
    """What a base that never saw an adapter draws."""
    model = BASE_MODELS.default
    pipeline: Any = load_pipeline(model, CPU)
    image: Image.Image = pipeline(
        prompt=PROMPT,
        width=model.defaults.width,
        height=model.defaults.height,
        num_inference_steps=model.defaults.steps,
        guidance_scale=model.defaults.guidance_scale,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    return image


def drawn(service: Service, runner: JobRunner, adapter: str | None = None) -> Image.Image:
    words = ADAPTERS[adapter].trigger_words if adapter else ()
    request = {"prompt": ", ".join((PROMPT, *words)), "seed": 7, "adapters": [{"ref": adapter}] if adapter else []}
    job = service.submissions.submit(JobRequest.model_validate(request))
    runner(job.id)
    (image,) = service.store.get(job.id).result.images
    assert image.key is not None
    return Image.open(BytesIO(service.storage.get(image.key)))


def test_every_effect_belongs_to_an_adapter_and_the_other_way_round() -> None:
    assert EFFECTS.keys() == ADAPTERS.keys()
    assert len(ADAPTERS) >= 6


def test_together_the_weights_take_at_most_12_megabytes() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "demo").rglob("*.safetensors")) <= 12_000_000


def test_each_job_shows_its_adapter_and_the_next_one_without_shows_nothing_of_it(
    service: Service, runner: JobRunner, fresh_image: Image.Image
) -> None:
    for name in ADAPTERS:
        assert shows(name, drawn(service, runner, name)), name

        plain = drawn(service, runner)
        assert np.array_equal(np.asarray(plain), np.asarray(fresh_image)), f"after {name}"
        assert not shows(name, plain), name
