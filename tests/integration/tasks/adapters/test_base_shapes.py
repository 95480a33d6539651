"""What workers tell of their base models, and how long it is believed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tasks.adapters.file.safetensors import read_header
from tasks.adapters.passport.fit import Verdict, fit
from tasks.adapters.passport.layers import layers_of
from tasks.base_models.registry import read_base_models
from tasks.base_models.shapes import CACHED_S, ShapeStore
from tasks.valkey import Valkey
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.services import make_service
from tests.support.unet_shapes import SD15, SDXL, unet_shapes
from tests.support.up import ROOT
from tests.support.warm_workers import warm_worker
from workers.adapters.shapes import shapes_of
from workers.adapters.shell import LoaderShell
from workers.base.pipeline import load_pipeline

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

DEMO = DEMO_AND_SDXL.default
FIRST, SECOND = unet_shapes(SD15, "demo/base"), unet_shapes(SDXL, "demo/base")
KEY = "stokehold:shapes:demo"


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_told_replaces_what_was_told_before_and_is_noticed_within_seconds(valkey: Valkey) -> None:
    clock = Clock()
    worker, api = ShapeStore(valkey), ShapeStore(valkey, clock=clock)
    assert api.of(DEMO) is None

    worker.publish("demo", FIRST)
    assert api.of(DEMO) is None
    clock.now = CACHED_S
    assert api.of(DEMO) == FIRST

    worker.publish("demo", SECOND)
    clock.now = 2 * CACHED_S
    assert api.of(DEMO) == SECOND


def test_a_worker_tells_it_when_it_has_loaded_and_again_when_it_was_lost(
    valkey: Valkey, valkey_url: str, tmp_path: Path
) -> None:
    service = make_service(tmp_path, valkey_url=valkey_url)
    with service.valkey, service.celery:
        worker = warm_worker(service)
        told = ShapeStore(valkey).of(DEMO)
        assert told is not None
        assert told.components == ("unet", "text_encoder")

        valkey.flushall()
        worker.heartbeat.beat()

        assert ShapeStore(valkey).of(DEMO) == told
        assert valkey.ttl(KEY) > 0


def test_every_lora_of_the_demo_is_accepted_for_the_demo() -> None:
    model = read_base_models(ROOT / "models.toml").default
    shapes = shapes_of(model, LoaderShell(load_pipeline(model, torch.device("cpu"))))

    files = sorted((ROOT / "demo" / "loras").glob("*.safetensors"))
    found = {path.stem: fit(layers_of(read_header(path).shapes), shapes) for path in files}

    assert len(found) > 3
    assert {one.verdict for one in found.values()} == {Verdict.ACCEPTED}
    assert {(one.unmatched, one.warnings) for one in found.values()} == {((), ())}
