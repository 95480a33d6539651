"""A service with keys whose Valkey comes back empty."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from api.gunicorn_config import Address, on_starting, post_fork, post_worker_init
from tasks.celery import Application
from tasks.keys import default_limits
from tasks.service import Service
from tasks.settings import Settings
from tests.support.services import make_service

JOB = {"prompt": "a red circle"}
GUARDED = ("/v1/jobs", "/v1/models", "/v1/batches", "/v1/adapters")


def headers(service: Service) -> dict[str, str]:
    _, secret = service.keys.create("a", default_limits(service.settings))
    return {"Authorization": f"Bearer {secret}"}


def test_a_service_that_was_closed_stays_closed(client: FlaskClient, service: Service) -> None:
    key = headers(service)
    assert client.post("/v1/jobs", json=JOB).status_code == 401

    service.valkey.flushall()

    assert [client.get(path).status_code for path in GUARDED] == [401] * len(GUARDED)
    assert client.post("/v1/jobs", json=JOB).status_code == 401
    assert client.post("/v1/jobs", json=JOB, headers=key).status_code == 401


def test_a_service_that_only_good_keys_have_used_stays_closed(client: FlaskClient, service: Service) -> None:
    assert client.get("/v1/models", headers=headers(service)).status_code == 200

    service.valkey.flushall()

    assert client.post("/v1/jobs", json=JOB).status_code == 401


def test_a_service_that_requires_keys_is_closed_from_the_first_request_on(
    servers: dict[str, Any], tmp_path: Any
) -> None:
    service = make_service(tmp_path, **servers, api_keys_required=True)

    assert create_app(service).test_client().post("/v1/jobs", json=JOB).status_code == 401


class Process:
    """What gunicorn's hooks are given."""

    def __init__(self, service: Service, address: str) -> None:
        self.address: list[Address] = [(address, 8000)]
        self.keys_needed = False
        self.wsgi: Flask = create_app(service)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_process_that_is_started_anew_stays_closed(
    service: Service, servers: dict[str, Any], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.gunicorn_config.settings", lambda: Settings.model_validate(servers))
    headers(service)
    arbiter = Process(service, address)
    on_starting(arbiter)
    service.valkey.flushall()

    again = Process(make_service_again(service), address)
    post_fork(arbiter, again)
    post_worker_init(again)

    assert again.wsgi.test_client().post("/v1/jobs", json=JOB).status_code == 401


def make_service_again(service: Service) -> Service:
    """The service as a new process has it, which remembers nothing."""
    return Application(service.settings).service
