"""API keys: who is let in, whose jobs they see, and how much they may use."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tasks.errors import ValkeyUnavailable
from tasks.jobs.job import Job
from tasks.keys import KEYS, ApiKey, default_limits
from tasks.service import Service
from tests.support.jobs import SPEC

REQUEST = {"prompt": "a red circle"}
COST = SPEC.pixel_steps
"""Of ``REQUEST`` with the defaults of the demo model, which are those of ``SPEC``."""


class Caller:
    """A client with a key of its own."""

    def __init__(self, client: FlaskClient, key: ApiKey, secret: str) -> None:
        self.client, self.key, self.secret = client, key, secret

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, headers={"Authorization": f"Bearer {self.secret}"})

    def submit(self, **fields: object) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.secret}"}
        return self.client.post("/v1/jobs", json={**REQUEST, **fields}, headers=headers)


MakeCaller = Callable[..., Caller]


@pytest.fixture
def make_caller(client: FlaskClient, service: Service) -> MakeCaller:
    """Makes a key, with the default limits except where told otherwise."""

    def make(**limits: int) -> Caller:
        key, secret = service.keys.create("ada", default_limits(service.settings).model_copy(update=limits))
        return Caller(client, key, secret)

    return make


def test_without_any_key_everyone_is_let_in(client: FlaskClient, service: Service) -> None:
    response = client.post("/v1/jobs", json=REQUEST, headers={"Authorization": "Bearer nothing"})

    assert response.status_code == HTTPStatus.ACCEPTED
    assert service.store.get(response.get_json()["id"]).options.owner is None


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Bearer stokehold_{id}_wrong", "Basic YTpi"])
def test_as_soon_as_there_is_a_key_no_other_is_let_in(
    client: FlaskClient, make_caller: MakeCaller, header: str | None
) -> None:
    caller = make_caller()

    headers = {} if header is None else {"Authorization": header.format(id=caller.key.id)}
    response = client.get("/v1/models", headers=headers)

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.content_type == "application/problem+json"
    assert response.get_json()["type"] == "urn:stokehold:problem:api_key_required"
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/", "/docs"])
def test_what_tells_nothing_of_jobs_stays_open(client: FlaskClient, make_caller: MakeCaller, path: str) -> None:
    make_caller()

    assert client.get(path, follow_redirects=True).status_code == HTTPStatus.OK


def test_a_key_sees_its_own_jobs_and_no_others(make_caller: MakeCaller) -> None:
    ada, bob = make_caller(), make_caller()
    location = ada.submit().headers["Location"]

    assert ada.get(location).status_code == HTTPStatus.OK
    for path in (location, f"{location}?wait=30"):
        assert bob.get(path).get_json()["type"] == "urn:stokehold:problem:job_not_found"


def test_a_revoked_key_is_refused_at_once_and_the_service_stays_closed(
    client: FlaskClient, service: Service, make_caller: MakeCaller
) -> None:
    caller = make_caller()

    service.keys.revoke(caller.key.id)

    assert caller.get("/v1/models").status_code == HTTPStatus.UNAUTHORIZED
    assert client.get("/v1/models").status_code == HTTPStatus.UNAUTHORIZED


def test_no_secret_is_kept(service: Service, make_caller: MakeCaller) -> None:
    secret = make_caller().secret

    (kept,) = service.valkey.hvals(KEYS)

    assert secret.rsplit("_", 1)[-1] not in kept
    assert service.keys.list()[0].digest not in repr(service.keys.list())


def assert_limited(response: TestResponse, limit: str) -> None:
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert response.get_json()["type"] == "urn:stokehold:problem:limit_exceeded"
    assert f"({limit})" in response.get_json()["detail"]
    assert int(response.headers["Retry-After"]) > 0


def test_the_requests_a_minute_of_a_key_are_limited(make_caller: MakeCaller) -> None:
    caller, other = make_caller(requests_per_minute=2), make_caller()

    assert [caller.get("/v1/models").status_code for _ in range(2)] == [HTTPStatus.OK] * 2
    assert_limited(caller.get("/v1/models"), "requests_per_minute")
    assert other.get("/v1/models").status_code == HTTPStatus.OK


def test_the_queued_jobs_of_a_key_are_limited(make_caller: MakeCaller, claim: Callable[[str], Job]) -> None:
    caller = make_caller(queued_jobs=1)
    first = caller.submit().get_json()["id"]

    assert_limited(caller.submit(), "queued_jobs")

    claim(first)
    assert caller.submit().status_code == HTTPStatus.ACCEPTED


def test_the_pixels_times_steps_a_day_of_a_key_are_limited(make_caller: MakeCaller) -> None:
    caller = make_caller(pixel_steps_per_day=2 * COST)

    assert_limited(caller.submit(images=3), "pixel_steps_per_day")
    assert caller.submit(images=2).status_code == HTTPStatus.ACCEPTED, "what is refused uses up nothing"
    assert_limited(caller.submit(), "pixel_steps_per_day")


def test_a_job_that_could_not_be_recorded_is_given_back(
    make_caller: MakeCaller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = make_caller(queued_jobs=1, pixel_steps_per_day=COST)

    def away(*arguments: object, **options: object) -> None:
        raise ValkeyUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(service.recorder, "_create", away)
        refused = caller.submit().status_code
    accepted = caller.submit().status_code

    assert (refused, accepted) == (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.ACCEPTED)


def test_a_count_whose_answer_was_lost_can_be_asked_again(service: Service, make_caller: MakeCaller) -> None:
    caller = make_caller(queued_jobs=1, pixel_steps_per_day=COST)

    for _ in range(2):
        with service.quotas.reserved(caller.key.id, "the-same", SPEC):
            pass

    assert service.valkey.hget(f"stokehold:spent:{caller.key.id}", "sum") == str(COST)
