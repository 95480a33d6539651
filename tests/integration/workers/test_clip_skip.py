"""Layers of the text encoder that are skipped, against hidden states that transformers computes."""

from __future__ import annotations

import copy
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from demo.vocabulary import train_tokenizer
from tasks.base_models.registry import ServedModel
from tasks.errors import ConfigurationError
from tasks.jobs.job import Job, Lane, Status
from tasks.replay import read_manifest, request_of
from tasks.requests.job import JobRequest
from tasks.service import Service
from tests.support.base_models import served_model
from tests.support.jobs import submitted_to
from tests.support.pipelines import build, drawable
from tests.support.services import make_service
from tests.support.warm_workers import warm_worker
from workers.base.pipeline import check_clip_skip, max_clip_skip, show_text_model
from workers.run.runner import JobRunner

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

PROMPT, NEGATIVE = "a red circle", "a blue square"
STEPS, SEED = 3, 7


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    return make_service(tmp_path, **servers)


@pytest.fixture
def runner(service: Service) -> JobRunner:
    return warm_worker(service).runner


def submitted(service: Service, lane: Lane = Lane.INTERACTIVE, **fields: Any) -> Job:
    values = {"prompt": PROMPT, "steps": STEPS, "seed": SEED, **fields}
    return submitted_to(service, lane, JobRequest.model_validate(values))


def body(service: Service, job: Job) -> bytes:
    """The file of a job's image."""
    return service.storage.get(service.store.get(job.id).result.images[0].key or "")


def pixels(service: Service, job: Job) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(BytesIO(body(service, job)))).astype(int)


def drawn(service: Service, runner: JobRunner, **fields: Any) -> np.ndarray[Any, Any]:
    job = submitted(service, **fields)
    runner(job.id)
    return pixels(service, job)


@torch.no_grad()
def embedding(pipeline: Any, text: str, clip_skip: int) -> torch.Tensor:
    """The hidden state before so many layers from the end, normalised as the last one is."""
    length = pipeline.tokenizer.model_max_length
    tokens = pipeline.tokenizer(text, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    states = pipeline.text_encoder(tokens.input_ids, output_hidden_states=True).hidden_states
    normalised: torch.Tensor = pipeline.text_encoder.final_layer_norm(states[len(states) - 1 - clip_skip])
    return normalised


def expected(clip_skip: int, guidance_scale: float) -> np.ndarray[Any, Any]:
    """The image of the prompt, encoded by hand."""
    pipeline = drawable()
    output = pipeline(
        prompt_embeds=embedding(pipeline, PROMPT, clip_skip),
        negative_prompt_embeds=embedding(pipeline, NEGATIVE, 0),
        width=64,
        height=64,
        num_inference_steps=STEPS,
        guidance_scale=guidance_scale,
        generator=[torch.Generator("cpu").manual_seed(SEED)],
    )
    return np.asarray(output.images[0]).astype(int)


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("clip_skip", [0, 1])
def test_the_prompt_goes_through_all_layers_but_those_and_the_negative_prompt_through_all(
    service: Service, runner: JobRunner, clip_skip: int, guidance_scale: float
) -> None:
    settings = {"negative_prompt": NEGATIVE, "guidance_scale": guidance_scale}

    image = drawn(service, runner, clip_skip=clip_skip, **settings)

    assert np.array_equal(image, expected(clip_skip, guidance_scale))
    assert np.array_equal(image, drawn(service, runner, **settings)) is (clip_skip == 0)


def test_one_is_what_a_text_encoder_without_its_last_layer_draws(service: Service, runner: JobRunner) -> None:
    """What other programs call clip skip 2; without guidance there is no negative prompt, which they shorten too."""
    pipeline = drawable()
    pipeline.text_encoder.encoder.layers = pipeline.text_encoder.encoder.layers[:-1]

    output = pipeline(
        prompt=PROMPT,
        width=64,
        height=64,
        num_inference_steps=STEPS,
        guidance_scale=1.0,
        generator=[torch.Generator("cpu").manual_seed(SEED)],
    )

    image = drawn(service, runner, clip_skip=1, guidance_scale=1.0)
    assert np.array_equal(image, np.asarray(output.images[0]).astype(int))


def test_lines_are_drawn_in_one_pass_only_where_they_skip_as_many_layers(service: Service, runner: JobRunner) -> None:
    model = service.base_models.default
    lines = [submitted(service, Lane.BACKFILL, clip_skip=skip) for skip in (1, None, 1, None)]

    while jobs := service.backfill.claim(model.slug, "demo-1@here", 4):
        runner.run_jobs(jobs)

    images = [pixels(service, job) for job in lines]
    assert [service.store.get(job.id).result.batch_size for job in lines] == [2] * 4
    assert np.array_equal(images[0], images[2])
    assert np.array_equal(images[1], images[3])
    assert not np.array_equal(images[0], images[1])
    assert np.abs(images[0] - drawn(service, runner, clip_skip=1)).max() <= 1
    assert np.abs(images[1] - drawn(service, runner)).max() <= 1


def test_an_image_names_the_layers_that_its_prompt_skipped(service: Service, runner: JobRunner) -> None:
    job = submitted(service, clip_skip=1)
    runner(job.id)

    manifest = read_manifest(body(service, job))

    assert service.store.get(job.id).status is Status.SUCCEEDED
    assert manifest.spec.clip_skip == 1
    assert request_of(manifest.spec)["clip_skip"] == 1


@pytest.mark.parametrize(("architecture", "layers"), [("sd15", 1), ("sdxl", 1), ("sd3", 1), ("flux", 0)])
def test_a_pipeline_tells_how_many_layers_it_can_skip(architecture: str, layers: int) -> None:
    assert max_clip_skip(build(architecture)) == layers


def test_as_many_layers_as_sdxl_tells_can_be_skipped_and_no_more() -> None:
    pipeline = build("sdxl")
    pipeline.tokenizer = pipeline.tokenizer_2 = train_tokenizer([])
    for encoder in (pipeline.text_encoder, pipeline.text_encoder_2):
        encoder.resize_token_embeddings(len(pipeline.tokenizer))

    pipeline.encode_prompt(PROMPT, clip_skip=max_clip_skip(pipeline))
    with pytest.raises(IndexError):
        pipeline.encode_prompt(PROMPT, clip_skip=max_clip_skip(pipeline) + 1)


def test_a_base_that_skips_fewer_layers_than_its_entry_says_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"FluxPipeline of base model 'demo' can skip 0 .* `max_clip_skip`"):
        check_clip_skip(build("flux"), skipping(1))
    check_clip_skip(build("sd15"), skipping(1))


def skipping(layers: int) -> ServedModel:
    """A base model whose entry allows so many layers to be skipped."""
    model = served_model("demo", "demo/base")
    return model.model_copy(update={"limits": model.limits.model_copy(update={"max_clip_skip": layers})})


def test_the_text_encoder_itself_stays_as_adapters_are_read_by_it() -> None:
    pipeline = drawable()
    shown = copy.copy(pipeline)

    show_text_model(shown)

    assert shown.text_encoder.text_model is pipeline.text_encoder
    assert shown.text_encoder.config is pipeline.text_encoder.config
    assert not hasattr(pipeline.text_encoder, "text_model")
