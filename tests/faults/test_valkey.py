"""Valkey that is killed or stalls, and an API that dies before it has sent a message."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from urllib.error import HTTPError

import pytest

from stack.parts import Parts
from stack.ports import LOOPBACK, Ports
from stack.probes import answers_200
from stack.services import api_part, api_url
from tasks.api_client import ApiClient
from tasks.errors import ServerSilent
from tasks.jobs.job import Job, Status
from tasks.service import Service
from tests.faults.conftest import assert_drawn_once
from tests.support.waiting import patience, wait_until
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.slow

REQUEST = {"prompt": "a red circle", "width": 32, "height": 32, "steps": 2}
AWAY_S = 4.0


class Load:
    """Submits jobs over HTTP, one after another, until it is stopped.

    Attributes:
        accepted: the ids of those that the API has acknowledged.
        refusals: status and ``Retry-After`` of every other answer.
    """

    def __init__(self, url: str) -> None:
        self.accepted: list[str] = []
        self.refusals: set[tuple[int, str | None]] = set()
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            self._submit()

    def _submit(self) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/v1/jobs", json.dumps(REQUEST).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=patience(60)) as response:
                self.accepted.append(json.load(response)["id"])
        except HTTPError as refusal:
            with refusal:
                self.refusals.add((refusal.code, refusal.headers["Retry-After"]))


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_valkey_away_under_load_loses_nothing_that_was_acknowledged(
    *, start: Callable[..., WorkerProcess], service: Service, parts: Parts, ports: Ports, client: ApiClient, how: str
) -> None:
    worker = start()
    with Load(api_url(ports.api)) as load:
        wait_until(lambda: len(load.accepted) >= 3)
        if how == "killed":
            part = parts.kill("valkey")
            time.sleep(AWAY_S)
            parts.start([part])
        else:
            parts.freeze("valkey")
            time.sleep(2 * AWAY_S)
            parts.thaw("valkey")
        before = len(load.accepted)
        wait_until(lambda: len(load.accepted) >= before + 3, timeout_s=60)

    records = [client.finished_job(job_id, lambda: None) for job_id in load.accepted]

    assert load.refusals == {(503, "2")}
    assert {record["status"] for record in records} == {"succeeded"}
    assert not worker.is_gone
    for job_id in load.accepted:
        assert_drawn_once(service, service.store.get(job_id))


def test_a_job_whose_api_died_before_it_sent_the_message_is_drawn(
    start: Callable[..., WorkerProcess],
    ended: Callable[[Job], Job],
    service: Service,
    parts: Parts,
    environment: dict[str, str],
) -> None:
    start()
    port = Ports.free().api
    api = api_part(port, environment)
    command = (*api.command, "tests.support.dying_api:create_app()")
    parts.start([replace(api, name="dying-api", command=command)])

    before = jobs(service)

    with pytest.raises(ServerSilent), ApiClient(api_url(port), None) as client:
        client.submit_job(REQUEST)
    wait_until(lambda: not answers_200(f"http://{LOOPBACK}:{port}/healthz"))
    parts.kill("dying-api")

    [job_id] = jobs(service) - before
    assert ended(service.store.get(job_id)).status is Status.SUCCEEDED


def jobs(service: Service) -> set[str]:
    """The ids of every job that is recorded."""
    return {key.rpartition(":")[2] for key in service.valkey.scan_iter("stokehold:job:*")}
