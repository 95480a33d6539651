"""Clients that people already have, against the API on a real port and a worker with a real pipeline."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from openai import OpenAI
from PIL import Image

from api import create_app
from tasks.keys import default_limits
from tasks.requests.job import JobRequest
from tasks.service import Service
from tests.support.drawing_thread import drawing
from tests.support.http_server import serving
from tests.support.hub import HubServer
from tests.support.loras import random_lora, write
from tests.support.pipelines import drawable
from tests.support.services import make_service, with_hub
from tests.support.waiting import patience
from tests.support.warm_workers import warm_worker

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

PROMPT = "a red circle on a blue background"
WEIGHTS = "pytorch_lora_weights.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub with a LoRA for the demo base, which API and worker ask."""
    lora = write(random_lora(drawable(), seed=3), tmp_path / WEIGHTS).read_bytes()
    with HubServer() as hub:
        hub.add_repository("minimaxir/wrong-lora", {WEIGHTS: lora}, base_model="demo/base")
        monkeypatch.setattr("workers.adapters.fetch.HfApi", partial(HfApi, endpoint=hub.url, token=False))
        monkeypatch.setattr("workers.worker.HF_HUB_CACHE", str(tmp_path / "cache"))
        yield hub


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path, hub: HubServer) -> Service:
    return with_hub(make_service(tmp_path, **servers), hub)


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """Where the API listens, with a worker of the demo base behind it."""
    worker = warm_worker(service)
    worker.heartbeat.beat()
    with drawing(service, worker.runner), serving(create_app(service)) as url:
        yield url


def drawn_by_a_job(service: Service, **fields: Any) -> Image.Image:
    """The image of the same request as a job."""
    job = service.submissions.submit(JobRequest.model_validate({"prompt": PROMPT, "seed": 7, "steps": 2, **fields}))
    while not job.status.is_terminal:
        job = service.store.wait(job.id, patience(10))
    (image,) = job.result.images
    assert image.key is not None
    return opened(service.storage.get(image.key))


def opened(image: bytes) -> Image.Image:
    return Image.open(BytesIO(image))


def test_the_hubs_client_draws_with_every_parameter_that_it_has(url: str, service: Service) -> None:
    client = InferenceClient(model=f"{url}/models/demo")

    image = client.text_to_image(
        PROMPT,
        negative_prompt="a square",
        height=32,
        width=96,
        num_inference_steps=2,
        guidance_scale=2.0,
        scheduler="EulerDiscreteScheduler",
        seed=7,
    )

    same = {"negative_prompt": "a square", "height": 32, "width": 96, "guidance_scale": 2.0, "scheduler": "euler"}
    assert image.size == (96, 32)
    assert image.tobytes() == drawn_by_a_job(service, **same).tobytes()


def test_the_hubs_client_names_a_lora_as_its_model(url: str, service: Service) -> None:
    client = InferenceClient()

    image = client.text_to_image(PROMPT, model=f"{url}/models/minimaxir/wrong-lora", num_inference_steps=2, seed=7)

    adapters = [{"ref": "minimaxir/wrong-lora"}]
    assert image.tobytes() == drawn_by_a_job(service, adapters=adapters).tobytes()
    assert image.tobytes() != drawn_by_a_job(service).tobytes()


def test_the_hubs_client_shows_its_user_why_it_was_refused(url: str) -> None:
    client = InferenceClient(model=f"{url}/models/demo")

    with pytest.raises(HfHubHTTPError, match="multiple of 16; it is 65"):
        client.text_to_image(PROMPT, width=65)


def test_the_hubs_client_shows_a_key_as_its_token(url: str, service: Service) -> None:
    _, secret = service.keys.create("ada", default_limits(service.settings))

    let_in = InferenceClient(model=f"{url}/models/demo", token=secret).text_to_image(PROMPT, num_inference_steps=2)

    assert let_in.size == (64, 64)
    with pytest.raises(HfHubHTTPError, match=r"401.*\n*.*Send a valid API key"):
        InferenceClient(model=f"{url}/models/demo", token="hf_another").text_to_image(PROMPT)


def test_the_articles_curl_lines_put_an_image_into_a_file(url: str, tmp_path: Path) -> None:
    out, told = tmp_path / "out.png", tmp_path / "headers"
    for model, header in (("minimaxir/wrong-lora", "Accept: */*"), ("demo", "lora: minimaxir/wrong-lora")):
        command = ["curl", "-sS", "--max-time", "30", "-X", "POST", f"{url}/models/{model}", "-H", header]
        command += ["-H", "Content-Type: application/json", "-d", json.dumps({"inputs": "elephant"})]

        subprocess.run([*command, "--output", out, "--dump-header", told], check=True)

        headers = told.read_text("ascii").lower()
        assert opened(out.read_bytes()).size == (64, 64)
        assert all(line in headers for line in ("content-type: image/png", "x-compute-type: cpu", "x-compute-time: "))


def test_openais_client_draws_the_same_image(url: str, service: Service) -> None:
    with OpenAI(base_url=f"{url}/v1", api_key="none-is-needed") as client:
        answer = client.images.generate(
            prompt=PROMPT,
            model="demo",
            size="96x32",
            response_format="b64_json",
            extra_body={"steps": 2, "seed": 7, "adapters": [{"ref": "minimaxir/wrong-lora", "scale": 0.5}]},
        )

    assert answer.data is not None
    image = opened(base64.b64decode(answer.data[0].b64_json or ""))
    same = {"width": 96, "height": 32, "adapters": [{"ref": "minimaxir/wrong-lora", "scale": 0.5}]}
    assert image.tobytes() == drawn_by_a_job(service, **same).tobytes()
