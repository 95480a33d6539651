"""``POST /v1/jobs``: what is accepted, what is refused, and where an accepted job goes."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api import create_app
from tasks.adapters.file.version import version_of
from tasks.requests.job import MAX_PROMPT_CHARACTERS, MAX_SEED
from tasks.service import Service


def test_a_job_is_accepted_and_says_where_to_poll_it(client: FlaskClient) -> None:
    response = client.post("/v1/jobs", json={"prompt": "a red circle"})

    assert response.status_code == HTTPStatus.ACCEPTED
    assert response.content_type == "application/json"
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Location"] == f"/v1/jobs/{response.get_json()['id']}"
    assert client.get(response.headers["Location"]).json == response.json


def test_what_is_left_out_comes_from_the_base_models_defaults(client: FlaskClient) -> None:
    record = client.post("/v1/jobs", json={"prompt": "a red circle"}).get_json()

    defaults: dict[str, object] = {
        "base_model": "demo",
        "negative_prompt": None,
        "adapters": [],
        "width": 64,
        "height": 64,
        "steps": 20,
        "guidance_scale": 3.0,
        "scheduler": None,
        "clip_skip": None,
    }
    assert {name: record[name] for name in defaults} == defaults
    assert 0 <= record["seed"] <= MAX_SEED


def test_a_new_job_is_queued_and_nothing_has_come_of_it_yet(client: FlaskClient) -> None:
    record = client.post("/v1/jobs", json={"prompt": "a red circle"}).get_json()

    assert (record["status"], record["lane"], record["position"], record["attempt"]) == ("queued", "interactive", 0, 0)
    assert {record[name] for name in ("progress", "started_at", "finished_at", "worker", "error")} == {None}
    assert record["images"] == []
    assert set(record["timings"].values()) == {None}


def test_everything_that_is_asked_for_is_in_the_record(client: FlaskClient) -> None:
    asked = {
        "prompt": "a red circle",
        "negative_prompt": "a square",
        "base_model": "demo",
        "width": 96,
        "height": 32,
        "steps": 7,
        "guidance_scale": 0.0,
        "scheduler": "euler",
        "clip_skip": 1,
        "seed": 0,
    }

    record = client.post("/v1/jobs", json=asked).get_json()

    assert {name: record[name] for name in asked} == asked


def test_an_adapter_is_pinned_to_what_its_file_is_now(client: FlaskClient, service: Service) -> None:
    (folder,) = service.settings.adapter_folders

    record = client.post(
        "/v1/jobs", json={"prompt": "a red circle", "adapters": [{"ref": "pixel", "scale": 0.5}]}
    ).get_json()

    assert record["adapters"] == [
        {
            "ref": "pixel",
            "scale": 0.5,
            "source": "folder",
            "repository": "pixel",
            "commit": version_of(folder / "pixel.safetensors"),
            "weight_name": "pixel.safetensors",
        }
    ]


@pytest.mark.parametrize(("adapter", "base_model"), [("pixel", "demo"), ("crayon", "sdxl")])
def test_the_base_model_follows_from_the_adapter_and_the_message_goes_to_its_queue(
    client: FlaskClient, service: Service, adapter: str, base_model: str
) -> None:
    response = client.post("/v1/jobs", json={"prompt": "a red circle", "adapters": [{"ref": adapter}]})

    (message,) = service.valkey.lrange(f"base.{base_model}", 0, -1)
    assert response.get_json()["base_model"] == base_model
    assert response.get_json()["id"] in json.loads(message)["headers"]["argsrepr"]
    assert service.index.unsent(0, 10) == []


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"adapters": [{"ref": "pixel"}, {"ref": "crayon"}]}, "adapters", "crayon for sdxl"),
        ({"adapters": [{"ref": "pixel"}, {"ref": "pixle"}]}, "adapters.1.ref", "'pixle'"),
        ({"adapters": [{"ref": "../pixel"}]}, "adapters.0.ref", "not an adapter reference"),
        ({"adapters": [{"ref": "pixel", "weight": 1}]}, "adapters.0.weight", "not permitted"),
        (
            {"adapters": [{"ref": "pixel", "scale": 5}]},
            "adapters.0.scale",
            "less than or equal to 4",
        ),
        ({"adapters": [{"ref": "pixel"}] * 5}, "adapters", "at most 4 adapters"),
        ({"adapters": [{"ref": "pixel"}], "base_model": "sdxl"}, "base_model", "not for 'sdxl'"),
        ({"base_model": "sd4"}, "base_model", "demo, sdxl"),
        ({"width": 129}, "width", "from 32 to 128 and a multiple of 16; it is 129"),
        ({"height": 40}, "height", "from 32 to 128 and a multiple of 16; it is 40"),
        ({"steps": 51}, "steps", "at most 50 steps"),
        ({"steps": True}, "steps", "should be a number"),
        ({"guidance_scale": "3"}, "guidance_scale", "should be a number"),
        ({"scheduler": "unipc"}, "scheduler", "it offers ddim, euler"),
        ({"scheduler": "magic"}, "scheduler", "Input should be 'ddim'"),
        ({"clip_skip": 2}, "clip_skip", "clip_skip is at most 1 for demo"),
        ({"clip_skip": 1, "base_model": "sdxl"}, "clip_skip", "sdxl takes no clip_skip"),
        ({"clip_skip": -1}, "clip_skip", "greater than or equal to 0"),
        ({"clip_skip": 32}, "clip_skip", "less than or equal to 31"),
        ({"clip_skip": "1"}, "clip_skip", "should be a number"),
        ({"prompt": "x" * (MAX_PROMPT_CHARACTERS + 1)}, "prompt", "at most 2000 characters"),
        ({"prompt": ""}, "prompt", "at least 1 character"),
        ({"prompt": None}, "prompt", "valid string"),
        ({"negative_prompt": "x" * 2001}, "negative_prompt", "at most 2000 characters"),
        ({"images": 9}, "images", "less than or equal to 8"),
        ({"images": 0}, "images", "greater than or equal to 1"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"seed": 2**53}, "seed", "less than or equal to"),
        ({"colour": "red"}, "colour", "not permitted"),
    ],
)
def test_what_cannot_be_served_is_422_and_names_field_and_reason(
    client: FlaskClient, service: Service, fields: dict[str, object], field: str, reason: str
) -> None:
    response = client.post("/v1/jobs", json={"prompt": "a red circle", **fields})

    problem = response.get_json()
    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert response.content_type == "application/problem+json"
    assert problem["type"].startswith("urn:stokehold:problem:")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert reason in problem["errors"][0]["reason"]
    assert reason in problem["detail"]
    assert service.index.waiting("demo") == 0


def test_every_wrong_field_is_named_at_once(client: FlaskClient) -> None:
    response = client.post("/v1/jobs", json={"images": 9, "seed": -1})

    assert {error["field"] for error in response.get_json()["errors"]} == {"prompt", "images", "seed"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["negative_prompt", "adapters", "base_model", "width", "steps", "scheduler", "seed", "images"])
TEXT = st.text(st.characters(), min_size=1)
"""Any text, also with control characters and lone surrogates."""


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=JSON | TEXT, reference=TEXT, others=st.dictionaries(FIELDS | st.text(), JSON, max_size=3))
@example(prompt="\x00\x1b[2J\u202e\r\n", reference="pixel", others={})
@example(prompt="a red circle", reference="\x00", others={})
@example(prompt="a red circle", reference="pixel", others={"base_model": "demo\x00"})
@example(prompt="\ud800", reference="pixel", others={"\udfff": 1})
def test_no_body_makes_the_service_fail(service: Service, prompt: Any, reference: str, others: dict[str, Any]) -> None:
    body = json.dumps({"prompt": prompt, "adapters": [{"ref": reference.replace("/", "")}], **others})

    response = create_app(service).test_client().post("/v1/jobs", data=body, content_type="application/json")

    assert response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, response.text
    if response.status_code == HTTPStatus.ACCEPTED:
        assert response.get_json()["prompt"] == prompt
