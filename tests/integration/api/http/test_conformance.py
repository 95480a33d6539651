"""Requests made from the OpenAPI document: every answer is as the document says, and none is a failure of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any

import pytest
import schemathesis
from flask_openapi3.openapi import OpenAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tasks.jobs.job import Job, Progress
from tasks.jobs.result import AdapterReceipt, BaseReceipt, Failure, Result, StoredImage, SwapWay, Timings
from tasks.service import Service
from tests.support.drawing_thread import coloured, drawing
from tests.support.hub import HubServer
from tests.support.services import with_hub

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@schemathesis.serializer("application/jsonl")
def lines(_: object, value: object) -> bytes:
    """Whatever schemathesis thinks of, as the body of a batch."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def service(service: Service, hub: HubServer) -> Service:
    """As for the other tests of the API, with a Hub on which nothing is."""
    return with_hub(service, hub)


@pytest.fixture(scope="module")
def schema(views: OpenAPI) -> schemathesis.BaseSchema:
    """The document, read once: schemathesis also looks through the sources for constants to try, for seconds."""
    return schemathesis.openapi.from_wsgi("/openapi.json", views)


@pytest.fixture
def document(schema: schemathesis.BaseSchema, app: OpenAPI) -> schemathesis.BaseSchema:
    """The application, as its document describes it, with the test's own service behind it."""
    return schema


WAIT_FOR_IMAGES = {"/models/{model}", "/v1/images/generations"}
REQUESTS = [
    ("POST", "/v1/jobs", GenerationMode.POSITIVE),
    ("POST", "/v1/jobs", GenerationMode.NEGATIVE),
    ("GET", "/v1/jobs/{job_id}", GenerationMode.POSITIVE),
    ("GET", "/v1/jobs/{job_id}", GenerationMode.NEGATIVE),
    ("GET", "/v1/jobs", GenerationMode.POSITIVE),
    ("GET", "/v1/jobs", GenerationMode.NEGATIVE),
    ("POST", "/v1/jobs/{job_id}/cancel", GenerationMode.POSITIVE),
    ("POST", "/v1/jobs/{job_id}/replay", GenerationMode.POSITIVE),
    ("POST", "/v1/jobs/{job_id}/retry", GenerationMode.POSITIVE),
    ("POST", "/v1/jobs/retry", GenerationMode.POSITIVE),
    ("POST", "/v1/jobs/retry", GenerationMode.NEGATIVE),
    ("POST", "/models/{model}", GenerationMode.POSITIVE),
    ("POST", "/models/{model}", GenerationMode.NEGATIVE),
    ("POST", "/v1/images/generations", GenerationMode.POSITIVE),
    ("POST", "/v1/images/generations", GenerationMode.NEGATIVE),
    ("GET", "/v1/models", GenerationMode.POSITIVE),
    ("GET", "/v1/adapters", GenerationMode.POSITIVE),
    ("POST", "/v1/adapters", GenerationMode.POSITIVE),
    ("POST", "/v1/adapters/uploads", GenerationMode.POSITIVE),
    ("POST", "/v1/adapters/uploads", GenerationMode.NEGATIVE),
    ("GET", "/v1/adapters/{name}", GenerationMode.POSITIVE),
    ("DELETE", "/v1/adapters/{name}", GenerationMode.POSITIVE),
    ("POST", "/v1/adapters/{name}/pin", GenerationMode.POSITIVE),
    ("DELETE", "/v1/adapters/{name}/pin", GenerationMode.POSITIVE),
    ("POST", "/v1/batches", GenerationMode.POSITIVE),
    ("POST", "/v1/batches/uploads", GenerationMode.POSITIVE),
    ("GET", "/v1/batches", GenerationMode.POSITIVE),
    ("GET", "/v1/batches/{batch_id}", GenerationMode.POSITIVE),
    ("POST", "/v1/batches/{batch_id}/cancel", GenerationMode.POSITIVE),
    ("POST", "/v1/batches/{batch_id}/retry", GenerationMode.POSITIVE),
    ("GET", "/v1/batches/{batch_id}/results", GenerationMode.POSITIVE),
    ("POST", "/v1/adapters/inspect", GenerationMode.POSITIVE),
    ("POST", "/v1/adapters/inspect", GenerationMode.NEGATIVE),
    ("POST", "/v1/webhooks/secret", GenerationMode.POSITIVE),
    ("POST", "/v1/webhooks/secret", GenerationMode.NEGATIVE),
    ("GET", "/v1/webhooks/deliveries", GenerationMode.POSITIVE),
    ("GET", "/v1/webhooks/deliveries", GenerationMode.NEGATIVE),
    ("GET", "/v1/webhooks/deliveries/{delivery_id}", GenerationMode.POSITIVE),
    ("POST", "/v1/webhooks/deliveries/{delivery_id}/redeliver", GenerationMode.POSITIVE),
    ("GET", "/healthz", GenerationMode.POSITIVE),
    ("GET", "/readyz", GenerationMode.POSITIVE),
]


def test_no_operation_is_left_out(app: OpenAPI) -> None:
    paths = app.api_doc["paths"]

    assert {(method.upper(), path) for path in paths for method in paths[path]} == {
        (method, path) for method, path, _ in REQUESTS
    }


@pytest.mark.parametrize(("method", "path", "mode"), REQUESTS)
def test_every_answer_is_as_the_document_says(
    document: schemathesis.BaseSchema, service: Service, method: str, path: str, mode: GenerationMode
) -> None:
    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=document[path][method].as_strategy(generation_mode=mode))
    def conforms(case: Case[Any]) -> None:
        case.call_and_validate(checks=CHECKS)

    with drawing(service, coloured(service)) if path in WAIT_FOR_IMAGES else nullcontext():
        conforms()


def test_a_passport_is_as_the_document_says(document: schemathesis.BaseSchema) -> None:
    case = document["/v1/adapters/inspect"]["POST"].Case(body={"ref": "pixel"}, media_type="application/json")

    assert case.call_and_validate(checks=CHECKS).status_code == 200


def run(service: Service, job: Job) -> None:
    service.store.renew(job.lease, Progress(step=1, of=20))


def succeed(service: Service, job: Job) -> None:
    image = StoredImage(key="images/0.png", width=64, height=64, bytes=10, sha256="ab" * 32, seed=1)
    flagged = StoredImage(key=None, width=64, height=64, bytes=0, sha256=None, seed=2, flagged=True)
    receipt = AdapterReceipt(ref="pixel", matched=8, unmatched={"a.b": "gone"}, relative_change=0.125)
    timings = Timings(queued=0.1, adapter=0.2, swap=0.3, draw=0.4, publish=0.5, swap_way=SwapWay.MERGED)
    base = BaseReceipt(fingerprint="0123456789abcdef", swaps_since_check=3)
    service.store.succeed(job, Result(images=(image, flagged), receipts=(receipt,), base=base), timings)


def fail(service: Service, job: Job) -> None:
    service.store.fail(job, Failure(code="out_of_memory", message="Ask for a smaller image."))


def cancel(service: Service, job: Job) -> None:
    service.store.cancel(job.id)


@pytest.mark.parametrize("step", [run, succeed, fail, cancel])
def test_the_record_of_every_status_is_as_the_document_says(
    document: schemathesis.BaseSchema,
    service: Service,
    submit: Callable[..., str],
    claim: Callable[[str], Job],
    step: Callable[[Service, Job], None],
) -> None:
    job_id = submit(adapters=[{"ref": "pixel"}])
    step(service, claim(job_id))

    document["/v1/jobs/{job_id}"]["GET"].Case(path_parameters={"job_id": job_id}).call_and_validate(checks=CHECKS)
    document["/v1/jobs"]["GET"].Case().call_and_validate(checks=CHECKS)


def test_canceling_answers_as_the_document_says(document: schemathesis.BaseSchema, submit: Callable[..., str]) -> None:
    case = document["/v1/jobs/{job_id}/cancel"]["POST"].Case(path_parameters={"job_id": submit()})

    answers = [case.call_and_validate(checks=CHECKS).status_code for _ in range(2)]

    assert answers == [200, 409]


@pytest.mark.parametrize(
    ("path", "parameters", "bodies"),
    [
        ("/models/{model}", {"model": "demo"}, [{"inputs": "elephant"}]),
        ("/models/{model}", {"model": "demo/base"}, [{"inputs": "elephant"}]),
        (
            "/v1/images/generations",
            {},
            [{"prompt": "elephant"}, {"prompt": "elephant", "n": 2, "response_format": "b64_json"}],
        ),
    ],
)
def test_images_are_answered_as_the_document_says(
    document: schemathesis.BaseSchema,
    service: Service,
    path: str,
    parameters: dict[str, str],
    bodies: list[dict[str, Any]],
) -> None:
    with drawing(service, coloured(service)):
        for body in bodies:
            case = document[path]["POST"].Case(path_parameters=parameters, body=body, media_type="application/json")

            assert case.call_and_validate(checks=CHECKS).status_code == HTTPStatus.OK
