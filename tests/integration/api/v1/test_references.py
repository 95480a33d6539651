"""One grammar of references, wherever a client names an adapter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from api import create_app
from tasks.adapters.file.identity import PinnedFile
from tasks.service import Service
from tests.support.batches import advance_batches, plan_batches, record_batch
from tests.support.hub import HubServer
from tests.support.safetensors_files import lora_bytes
from tests.support.services import with_hub

FILE = "loras/Stil Übung 水彩 100%.safetensors"
REVISION = "refs/pr/1"
PLAIN = f"ada/sub@{REVISION}:loras/Stil Übung 水彩 100%.safetensors"
WRITTEN = {
    "plain": PLAIN,
    "encoded where it must be": f"ada/sub@{REVISION}:{quote(FILE)}",
    "encoded as a whole": quote(PLAIN, safe=""),
    "page of a file": f"https://huggingface.co/ada/sub/blob/{quote(REVISION, safe='')}/{quote(FILE)}",
    "download of a file": f"https://huggingface.co/ada/sub/resolve/{REVISION}/{quote(FILE)}?download=true",
}
FileOf = Callable[[FlaskClient, Service, str], PinnedFile]


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repository("ada/sub", {"README.md": b""}, base_model="demo/base")
        server.push("ada/sub", {FILE: lora_bytes(), "other.safetensors": lora_bytes(rank=8)}, branch=REVISION)
        yield server


@pytest.fixture
def service(service: Service, hub: HubServer) -> Service:
    """As for the other tests of the API, with a Hub; who waits for an image gives up at once."""
    settings = service.settings.model_copy(update={"response_wait_s": 0.01})
    return replace(with_hub(service, hub), settings=settings)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return create_app(service).test_client()


def submitted(client: FlaskClient, service: Service, ref: str) -> PinnedFile:
    answer = client.post("/v1/jobs", json={"prompt": "p", "adapters": [{"ref": ref}]})
    assert answer.status_code == HTTPStatus.ACCEPTED, answer.text
    return service.store.get(answer.get_json()["id"]).spec.adapters[0].adapter


def inspected(client: FlaskClient, service: Service, ref: str) -> PinnedFile:
    answer = client.post("/v1/adapters/inspect", json={"ref": ref})
    assert answer.status_code == HTTPStatus.OK, answer.text
    return PinnedFile.model_validate({name: answer.get_json()[name] for name in PinnedFile.model_fields})


def in_the_path(client: FlaskClient, service: Service, ref: str) -> PinnedFile:
    """The path is written as browsers and ``huggingface_hub`` write it: what it must not hold is encoded."""
    answer = client.post(f"/models/{quote(ref, safe='/:@')}", json={"inputs": "p"})
    return service.store.get(answer.headers["x-job-id"]).spec.adapters[0].adapter


def in_the_header(client: FlaskClient, service: Service, ref: str) -> PinnedFile:
    headers = {"lora": ref.encode().decode("latin-1")}  # as WSGI hands on the bytes of UTF-8
    answer = client.post("/models/demo", json={"inputs": "p"}, headers=headers)
    return service.store.get(answer.headers["x-job-id"]).spec.adapters[0].adapter


def as_openai_model(client: FlaskClient, service: Service, ref: str) -> PinnedFile:
    answer = client.post("/v1/images/generations", json={"prompt": "p", "model": ref})
    return service.store.get(answer.headers["x-job-id"]).spec.adapters[0].adapter


def registered(client: FlaskClient, service: Service, ref: str) -> PinnedFile:
    answer = client.post("/v1/adapters", json={"name": "ours", "ref": ref})
    assert answer.status_code == HTTPStatus.CREATED, answer.text
    entry = service.catalogue.find("ours", None)
    assert entry is not None
    return entry.found


def in_a_batch(client: FlaskClient, service: Service, ref: str) -> PinnedFile:
    line = {"custom_id": "1", "prompt": "p", "adapters": [{"ref": ref}]}
    record_batch(service, json.dumps(line).encode())
    plan_batches(service)
    advance_batches(service)
    (job,) = service.backfill.claim("demo", "worker")
    return job.spec.adapters[0].adapter


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize(
    "door", [submitted, inspected, in_the_path, in_the_header, as_openai_model, registered, in_a_batch]
)
def test_every_spelling_means_the_same_file_at_every_door(
    client: FlaskClient, service: Service, hub: HubServer, door: FileOf, written: str
) -> None:
    pinned = door(client, service, WRITTEN[written])

    assert (pinned.repository, pinned.weight_name) == ("ada/sub", FILE)
    assert pinned.commit == service.resolver.inspect(PLAIN).commit


def test_a_name_that_is_no_reference_is_a_problem_of_the_model_and_not_of_the_path(client: FlaskClient) -> None:
    answer = client.post("/models/ada/sub:loras/neon.ckpt", json={"inputs": "p"})

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.get_json()["errors"][0]["field"] == "model"
    assert "Write owner/name[@revision][:file.safetensors]" in answer.get_json()["detail"]


def test_the_record_shows_a_reference_as_it_was_written(client: FlaskClient) -> None:
    written = WRITTEN["encoded as a whole"]

    answer = client.post("/v1/jobs", json={"prompt": "p", "adapters": [{"ref": written}]})

    assert answer.get_json()["adapters"][0]["ref"] == written
