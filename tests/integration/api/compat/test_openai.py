"""``POST /v1/images/generations``, spoken to by the real ``openai`` package over a real port."""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import openai
import pytest
from flask_openapi3.openapi import OpenAPI
from openai import OpenAI
from PIL import Image

from api import create_app
from tasks.jobs.job import Job
from tasks.jobs.result import Failure
from tasks.keys import default_limits
from tasks.requests.openai import OpenAiOnly
from tasks.service import Service
from tests.support.drawing_thread import coloured, drawing, failing
from tests.support.http_server import serving

PROMPT = "a red circle"
NO_COUNTERPART = {
    "quality": "hd",
    "background": "transparent",
    "moderation": "low",
    "stream": True,
    "partial_images": 2,
    "style": "vivid",
    "output_compression": 50,
    "user": "ada",
    "safety_identifier": "ada",
    "complexity": "high",
    "frame_count": 3,
    "frame_duration_ms": 100,
    "svg": {"model": "any"},
}
WRONG_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ""}, "prompt"),
    ({"n": 9}, "n"),
    ({"size": "large"}, "size"),
    ({"size": "9999x64"}, "size"),
    ({"size": "65x64"}, "size"),
    ({"size": "64x4096"}, "size"),
    ({"output_format": "gif"}, "output_format"),
    ({"model": "nothing"}, "model"),
    ({"model": "gpt image"}, "model"),
    ({"model": "pixel", "extra_body": {"adapters": [{"ref": "nothing"}]}}, "adapters.0.ref"),
    ({"model": "pixel", "extra_body": {"adapters": [{"ref": "crayon"}]}}, "adapters"),
    ({"model": "demo", "extra_body": {"adapters": [{"ref": "nothing"}]}}, "adapters.0.ref"),
    ({"model": "demo", "extra_body": {"adapters": [{"ref": "crayon"}]}}, "model"),
    ({"extra_body": {"steps": 51}}, "steps"),
    ({"extra_body": {"scheduler": "EulerScheduler"}}, "scheduler"),
    ({"extra_body": {"strength": 1}}, "strength"),
]


@pytest.fixture
def worker(service: Service) -> Iterator[None]:
    with drawing(service, coloured(service)):
        yield


@pytest.fixture
def url(app: OpenAPI) -> Iterator[str]:
    with serving(app) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with client_of(url) as client:
        yield client


def client_of(url: str, key: str = "none-is-needed") -> OpenAI:
    """The client as its users make it; nothing but its address is ours."""
    return OpenAI(base_url=f"{url}/v1", api_key=key)


def jobs(service: Service, owner: str | None = None) -> list[Job]:
    """Every job so far, oldest first."""
    page = service.job_list.of_owner(owner, status=None, limit=50, cursor=None)
    return [service.store.get(record.id) for record in reversed(page.jobs)]


def the_job(service: Service) -> Job:
    (job,) = jobs(service)
    return job


def opened(image: bytes) -> Image.Image:
    return Image.open(BytesIO(image))


@pytest.mark.usefixtures("worker")
class TestAnswering:
    def test_without_more_than_a_prompt_it_answers_a_url_of_the_first_base_model(
        self, client: OpenAI, service: Service
    ) -> None:
        answer = client.images.generate(prompt=PROMPT)

        assert answer.data is not None
        (image,) = answer.data
        assert image.url is not None
        with urllib.request.urlopen(image.url) as fetched:
            assert opened(fetched.read()).size == (64, 64)
        assert (answer.output_format, answer.size) == ("png", "64x64")
        assert answer.created == int(the_job(service).created_at.timestamp())
        assert "b64_json" not in image.model_fields_set

    def test_several_images_within_the_answer(self, client: OpenAI) -> None:
        answer = client.images.generate(
            prompt=PROMPT,
            model="demo",
            n=2,
            size="96x32",
            response_format="b64_json",
            output_format="webp",
            extra_body={"seed": 5},
        )

        assert answer.data is not None
        images = [opened(base64.b64decode(image.b64_json or "")) for image in answer.data]
        assert [(fetched.size, fetched.format) for fetched in images] == [((96, 32), "WEBP")] * 2
        assert [image.to_dict()["seed"] for image in answer.data] == [5, 6]
        assert not any("url" in image.model_fields_set for image in answer.data)

    def test_an_adapter_may_be_the_model(self, client: OpenAI, service: Service) -> None:
        client.images.generate(prompt=PROMPT, model="pixel")

        spec = the_job(service).spec
        assert (spec.base_model, [scaled.adapter.ref for scaled in spec.adapters]) == ("demo", ["pixel"])

    def test_what_openai_has_no_field_for_goes_into_extra_body(self, client: OpenAI, service: Service) -> None:
        extra = {
            "adapters": [{"ref": "pixel", "scale": 0.5}],
            "negative_prompt": "a square",
            "steps": 4,
            "guidance_scale": 2.0,
            "scheduler": "euler",
            "seed": 7,
        }

        client.images.generate(prompt=PROMPT, model="demo/base", extra_body=extra)

        spec = the_job(service).spec
        assert [(scaled.adapter.ref, scaled.scale) for scaled in spec.adapters] == [("pixel", 0.5)]
        assert (spec.negative_prompt, spec.steps, spec.guidance_scale) == ("a square", 4, 2.0)
        assert (spec.scheduler, spec.seed) == ("euler", 7)

    def test_values_that_mean_what_happens_anyway_are_taken(self, client: OpenAI) -> None:
        answer = client.images.generate(
            prompt=PROMPT, size="auto", quality="auto", background="auto", moderation="auto", stream=False
        )

        assert answer.size == "64x64"

    def test_an_idempotency_key_is_one_job(self, client: OpenAI, service: Service) -> None:
        for _ in range(2):
            client.images.generate(prompt=PROMPT, extra_headers={"Idempotency-Key": "once"})

        assert the_job(service)


class TestRefusing:
    def refused(self, client: OpenAI, **fields: Any) -> openai.UnprocessableEntityError:
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            client.images.generate(**{"prompt": PROMPT, **fields})
        return caught.value

    def test_what_has_no_counterpart_is_refused_with_its_reason(self, client: OpenAI, service: Service) -> None:
        for field, value in NO_COUNTERPART.items():
            error = self.refused(client, **{field: value})

            (mark,) = OpenAiOnly.model_fields[field].metadata
            assert error.message == f"Error code: 422 - {field}: {mark.reason}"
            assert (error.param, error.code, error.type) == (field, "invalid_request", "invalid_request_error")
        assert jobs(service) == []

    def test_no_refused_field_is_forgotten(self) -> None:
        assert NO_COUNTERPART.keys() == OpenAiOnly.model_fields.keys()

    def test_a_wrong_value_is_refused_by_its_name(self, client: OpenAI) -> None:
        for fields, param in WRONG_VALUES:
            assert self.refused(client, **fields).param == param, fields

    def test_an_unknown_model_hears_of_the_base_models(self, client: OpenAI) -> None:
        assert "base models served here: demo, sdxl" in self.refused(client, model="dall-e-3").message

    def test_only_a_good_key_is_let_in(self, url: str, service: Service) -> None:
        key, secret = service.keys.create("ada", default_limits(service.settings))

        with (
            client_of(url, "sk-another") as stranger,
            pytest.raises(openai.AuthenticationError, match="Send a valid API"),
        ):
            stranger.images.generate(prompt=PROMPT)
        with client_of(url, secret) as ada, drawing(service, coloured(service)):
            ada.images.generate(prompt=PROMPT)

        assert len(jobs(service, key.id)) == 1


class TestWithoutImages:
    def test_a_job_that_takes_too_long_is_reported_and_not_drawn_twice(self, service: Service) -> None:
        settings = service.settings.model_copy(update={"response_wait_s": 0.05})

        with (
            serving(create_app(replace(service, settings=settings))) as url,
            client_of(url) as client,
            pytest.raises(openai.InternalServerError, match="It continues") as caught,
        ):
            client.images.generate(prompt=PROMPT)

        assert caught.value.code == "not_finished"
        assert caught.value.response.headers["Location"] == f"/v1/jobs/{the_job(service).id}"

    def test_a_job_that_failed_is_reported_and_not_drawn_again(self, client: OpenAI, service: Service) -> None:
        failure = Failure(code="drawing_failed", message="The device failed.")

        with drawing(service, failing(service, failure)), pytest.raises(openai.InternalServerError) as caught:
            client.images.generate(prompt=PROMPT)

        assert (caught.value.code, caught.value.type) == ("drawing_failed", "server_error")
        assert the_job(service).error == failure

    def test_flagged_images_are_left_out(self, client: OpenAI, service: Service) -> None:
        with drawing(service, coloured(service, flagged=frozenset({0}))):
            answer = client.images.generate(prompt=PROMPT, n=2, extra_body={"seed": 5})

        assert answer.data is not None
        assert [image.to_dict()["seed"] for image in answer.data] == [6]

    def test_nothing_but_flagged_images_is_refused(self, client: OpenAI, service: Service) -> None:
        with (
            drawing(service, coloured(service, flagged=frozenset({0, 1}))),
            pytest.raises(openai.UnprocessableEntityError) as caught,
        ):
            client.images.generate(prompt=PROMPT, n=2)

        assert caught.value.code == "image_flagged"
