"""``POST /models/...``: the image itself, as the Hub's Inference API answers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from api import create_app
from api.compat.outcomes import STATUS_OF_FAILURE
from api.http.context import EXTENSION
from tasks.errors import JobFailed, MachineFault, SelfTestFailed, StokeholdError
from tasks.fields import ImageFormat
from tasks.jobs.job import Job
from tasks.jobs.result import Failure
from tasks.keys import default_limits
from tasks.requests.schedulers import CLASS_NAMES
from tasks.service import Service
from tests.support.drawing_thread import canceling, coloured, drawing, failing
from tests.support.hub import HubServer
from tests.support.safetensors_files import lora_bytes
from tests.support.services import with_hub

ELEPHANT = {"inputs": "elephant"}
WRONG_BODIES: list[tuple[dict[str, Any], str]] = [
    ({}, "inputs"),
    ({"inputs": ""}, "inputs"),
    ({"inputs": ["one", "two"]}, "inputs"),
    ({**ELEPHANT, "prompt": "elephant"}, "prompt"),
    ({**ELEPHANT, "parameters": {"strength": 1}}, "parameters.strength"),
    ({**ELEPHANT, "parameters": {"num_images_per_prompt": 2}}, "parameters.num_images_per_prompt"),
    ({**ELEPHANT, "parameters": {"scheduler": "LMSDiscreteScheduler"}}, "parameters.scheduler"),
    ({**ELEPHANT, "parameters": {"scheduler": "dpm++"}}, "parameters.scheduler"),  # not one of this base
    ({**ELEPHANT, "parameters": {"width": 65}}, "parameters.width"),
    ({**ELEPHANT, "parameters": {"height": 4096}}, "parameters.height"),
    ({**ELEPHANT, "parameters": {"num_inference_steps": 51}}, "parameters.num_inference_steps"),
    ({**ELEPHANT, "options": {"use_gpu": True}}, "options.use_gpu"),
]
LORA = {"pytorch_lora_weights.safetensors": lora_bytes()}


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repository("minimaxir/wrong-lora", LORA, base_model="demo/base")
        server.add_repository("ada/xl-lora", LORA, base_model="stabilityai/stable-diffusion-xl-base-1.0")
        server.add_repository("ada/checkpoint", {"README.md": b""}, base_model="demo/base")
        yield server


@pytest.fixture
def service(service: Service, hub: HubServer) -> Service:
    """As for the other tests of the API, with a Hub that answers."""
    return with_hub(service, hub)


@pytest.fixture
def worker(service: Service) -> Iterator[None]:
    with drawing(service, coloured(service)):
        yield


def with_timeout(service: Service) -> FlaskClient:
    """A client of the same service, which keeps nobody waiting for long."""
    settings = service.settings.model_copy(update={"response_wait_s": 0.05})
    return create_app(replace(service, settings=settings)).test_client()


def image(response: TestResponse) -> Image.Image:
    assert response.status_code == HTTPStatus.OK, response.text
    return Image.open(BytesIO(response.data))


def job_of(service: Service, response: TestResponse) -> Job:
    return service.store.get(response.headers["x-job-id"])


def adapters_of(job: Job) -> list[str]:
    return [scaled.adapter.ref for scaled in job.spec.adapters]


def problem(response: TestResponse) -> Any:
    assert response.content_type == "application/problem+json", response.text
    return response.get_json()


@pytest.mark.usefixtures("worker")
class TestAnswering:
    def test_the_answer_is_the_image_and_its_headers_tell_of_its_job(
        self, client: FlaskClient, service: Service
    ) -> None:
        response = client.post("/models/demo", json={**ELEPHANT, "parameters": {"seed": 7}})

        assert (image(response).size, response.content_type) == ((64, 64), "image/png")
        assert response.headers["x-compute-time"] == "0.25"
        assert response.headers["x-seed"] == "7"
        assert response.headers["Cache-Control"] == "no-store"
        assert job_of(service, response).spec.prompt == "elephant"

    def test_a_seed_chosen_at_random_is_returned(self, client: FlaskClient, service: Service) -> None:
        response = client.post("/models/demo", json=ELEPHANT)

        assert int(response.headers["x-seed"]) == job_of(service, response).spec.seed

    def test_every_parameter_reaches_the_job(self, client: FlaskClient, service: Service) -> None:
        parameters = {
            "negative_prompt": "blurry",
            "height": 32,
            "width": 96,
            "num_inference_steps": 3,
            "guidance_scale": 1.5,
            "scheduler": "EulerDiscreteScheduler",
            "seed": 9,
            "num_images_per_prompt": 1,
        }
        options = {"use_cache": False, "wait_for_model": True}

        response = client.post("/models/demo", json={**ELEPHANT, "parameters": parameters, "options": options})

        spec = job_of(service, response).spec
        assert image(response).size == (96, 32)
        assert (spec.negative_prompt, spec.steps, spec.guidance_scale) == ("blurry", 3, 1.5)
        assert (spec.scheduler, spec.seed) == ("euler", 9)

    def test_the_path_names_a_base_model_or_an_adapter_whose_base_is_found(
        self, client: FlaskClient, service: Service
    ) -> None:
        for path, base_model, adapters in (
            ("/models/demo", "demo", []),
            ("/models/demo/base", "demo", []),
            ("/models/stabilityai/stable-diffusion-xl-base-1.0", "sdxl", []),
            ("/models/pixel", "demo", ["pixel"]),
            ("/models/minimaxir/wrong-lora", "demo", ["minimaxir/wrong-lora"]),
            ("/models/minimaxir/wrong-lora@main", "demo", ["minimaxir/wrong-lora@main"]),
        ):
            job = job_of(service, client.post(path, json=ELEPHANT))

            assert (job.spec.base_model, adapters_of(job)) == (base_model, adapters), path

    def test_the_header_lora_adds_an_adapter(self, client: FlaskClient, service: Service) -> None:
        headers = {"lora": "minimaxir/wrong-lora"}

        to_base, to_adapter = (
            client.post(f"/models/{name}", json=ELEPHANT, headers=headers) for name in ("demo", "pixel")
        )

        assert adapters_of(job_of(service, to_base)) == ["minimaxir/wrong-lora"]
        assert adapters_of(job_of(service, to_adapter)) == ["pixel", "minimaxir/wrong-lora"]

    def test_the_format_follows_accept_and_else_the_setting(self, service: Service) -> None:
        settings = service.settings.model_copy(update={"image_format": ImageFormat.WEBP})
        client = create_app(replace(service, settings=settings)).test_client()

        for accept, wanted in (
            (None, "webp"),
            ("*/*", "webp"),
            ("image/*", "webp"),
            ("image/jpeg", "jpeg"),
            ("image/avif, image/png;q=0.8, */*;q=0.1", "png"),
            ("text/html, image/jpeg;q=0.5, image/png;q=0.9", "png"),
        ):
            response = client.post("/models/demo", json=ELEPHANT, headers={} if accept is None else {"Accept": accept})

            assert (response.content_type, image(response).format) == (f"image/{wanted}", wanted.upper()), accept

    def test_warnings_about_the_adapter_reach_the_hubs_client(self, client: FlaskClient, service: Service) -> None:
        response = client.post("/models/pixel", json=ELEPHANT)

        warnings = job_of(service, response).options.warnings
        assert warnings, "no worker has told of its shapes, so the adapter cannot be judged"
        assert [text.split("; ", 1)[1] for text in response.headers.getlist("X-HF-Warning")] == list(warnings)

    def test_a_request_sent_twice_with_its_key_is_one_job(self, client: FlaskClient) -> None:
        headers = {"Idempotency-Key": "once"}

        first, second = (client.post("/models/demo", json=ELEPHANT, headers=headers) for _ in range(2))

        assert first.headers["x-job-id"] == second.headers["x-job-id"]
        assert first.data == second.data


class TestRefusing:
    def test_a_client_that_takes_no_format_of_ours_gets_406(self, client: FlaskClient) -> None:
        response = client.post("/models/demo", json=ELEPHANT, headers={"Accept": "application/json, image/avif"})

        assert response.status_code == HTTPStatus.NOT_ACCEPTABLE
        assert "image/png" in problem(response)["detail"]

    def test_a_wrong_field_is_named_as_the_client_wrote_it(self, client: FlaskClient, service: Service) -> None:
        for body, field in WRONG_BODIES:
            response = client.post("/models/demo", json=body)

            assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
            assert [error["field"] for error in problem(response)["errors"]] == [field]
            assert problem(response)["error"] == problem(response)["detail"]
        assert service.index.waiting("demo") == 0

    def test_an_unknown_scheduler_hears_of_those_known(self, client: FlaskClient) -> None:
        response = client.post("/models/demo", json={**ELEPHANT, "parameters": {"scheduler": "LMS"}})

        assert all(name in problem(response)["detail"] for name in (*CLASS_NAMES, *CLASS_NAMES.values()))

    def test_a_model_that_cannot_be_used_is_refused(self, client: FlaskClient) -> None:
        for path, lora, field in (
            ("/models/nothing", None, "model"),
            ("/models/nobody/nothing", None, "model"),
            ("/models/ada/checkpoint", None, "model"),
            ("/models/demo", "nobody/nothing", "lora"),
            ("/models/demo", "not a reference", "lora"),
            ("/models/demo", "ada/xl-lora", "model"),
            ("/models/pixel", "ada/xl-lora", "lora"),
        ):
            response = client.post(path, json=ELEPHANT, headers={} if lora is None else {"lora": lora})

            assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
            assert [error["field"] for error in problem(response)["errors"]] == [field], (path, lora)

    def test_an_unknown_model_hears_of_the_base_models(self, client: FlaskClient) -> None:
        assert "base models served here: demo, sdxl" in problem(client.post("/models/nothing", json=ELEPHANT))["detail"]

    def test_a_body_that_is_no_json_is_refused(self, client: FlaskClient) -> None:
        response = client.post("/models/demo", data=b"elephant")

        assert response.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE

    def test_a_key_is_needed_as_soon_as_there_is_one(self, client: FlaskClient, service: Service) -> None:
        key, secret = service.keys.create("ada", default_limits(service.settings))

        with drawing(service, coloured(service)):
            answers = [
                client.post("/models/demo", json=ELEPHANT, headers=headers)
                for headers in ({}, {"Authorization": "Bearer hf_another"}, {"Authorization": f"Bearer {secret}"})
            ]

        assert [answer.status_code for answer in answers] == [401, 401, 200]
        assert problem(answers[0])["error"]
        assert job_of(service, answers[2]).options.owner == key.id


def kinds_of(error: type[StokeholdError]) -> Iterator[type[StokeholdError]]:
    """A class of errors, and all below it."""
    yield error
    for kind in error.__subclasses__():
        yield from kinds_of(kind)


class TestWithoutImage:
    def test_a_job_that_takes_too_long_goes_on_and_says_where(self, service: Service) -> None:
        client = with_timeout(service)

        response = client.post("/models/demo", json=ELEPHANT)

        job = job_of(service, response)
        assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert problem(response)["type"] == "urn:stokehold:problem:not_finished"
        assert response.headers["Location"] == f"/v1/jobs/{job.id}"
        assert int(response.headers["Retry-After"]) > 0
        with drawing(service, coloured(service)):
            record = client.get(f"{response.headers['Location']}?wait=30").get_json()
        assert record["status"] in {"running", "succeeded"}

    def test_a_job_that_failed_answers_with_its_own_code_and_message(
        self, client: FlaskClient, service: Service
    ) -> None:
        for code in (*STATUS_OF_FAILURE, "a code of tomorrow"):
            with drawing(service, failing(service, Failure(code=code, message="Ask for less."))):
                response = client.post("/models/demo", json=ELEPHANT)

            told = problem(response)
            assert response.status_code == STATUS_OF_FAILURE.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
            assert (told["type"], told["detail"]) == (f"urn:stokehold:problem:{code}", "Ask for less.")
            assert response.headers["Location"].endswith(response.headers["x-job-id"])

    def test_every_failure_has_a_status(self) -> None:
        kinds = {*kinds_of(JobFailed), *kinds_of(MachineFault)} - {MachineFault, SelfTestFailed}

        assert {kind.code for kind in kinds} == STATUS_OF_FAILURE.keys()

    def test_a_job_that_was_canceled_is_409(self, client: FlaskClient, service: Service) -> None:
        with drawing(service, canceling(service)):
            response = client.post("/models/demo", json=ELEPHANT)

        assert response.status_code == HTTPStatus.CONFLICT
        assert problem(response)["type"] == "urn:stokehold:problem:job_canceled"

    def test_a_flagged_image_is_not_shown(self, client: FlaskClient, service: Service) -> None:
        with drawing(service, coloured(service, flagged=frozenset({0}))):
            response = client.post("/models/demo", json=ELEPHANT)

        assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert problem(response)["type"] == "urn:stokehold:problem:image_flagged"

    def test_nothing_is_submitted_when_too_many_wait(self, client: FlaskClient, service: Service) -> None:
        held_responses = client.application.extensions[EXTENSION].held_responses
        while held_responses.acquire(blocking=False):
            pass

        response = client.post("/models/demo", json=ELEPHANT)

        assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert problem(response)["type"] == "urn:stokehold:problem:too_many_waiting"
        assert int(response.headers["Retry-After"]) > 0
        assert "x-job-id" not in response.headers
        assert service.index.waiting("demo") == 0

    def test_a_place_is_free_again_after_each_answer(self, service: Service) -> None:
        client = with_timeout(service)
        held_responses = client.application.extensions[EXTENSION].held_responses

        client.post("/models/demo", json=ELEPHANT)
        client.post("/models/nothing", json=ELEPHANT)

        assert held_responses._value == held_responses._initial_value

    def test_an_image_that_storage_does_not_give_leaves_the_job_to_be_polled(
        self, client: FlaskClient, service: Service
    ) -> None:
        headers = {"Idempotency-Key": "once"}
        with drawing(service, coloured(service)):
            first = client.post("/models/demo", json=ELEPHANT, headers=headers)
        service.storage.delete(f"images/{first.headers['x-job-id']}/")

        again = client.post("/models/demo", json=ELEPHANT, headers=headers)

        assert again.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert again.headers["Location"].endswith(first.headers["x-job-id"])
        assert problem(again)["type"] == "urn:stokehold:problem:storage_unavailable"
