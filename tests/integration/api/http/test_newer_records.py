"""Records of the next version in this one's hands, while a service is updated: read, or refused one by one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.errors import LeftToAnother, RecordNotUnderstood
from tasks.fields import VERSION
from tasks.jobs.job import Job, JobOptions, JobSpec, Lane, Status
from tasks.jobs.keyspace import job_key
from tasks.jobs.line_place import batch_key
from tasks.keys import KEYS, ApiKeys, default_limits
from tasks.service import Service
from tests.support.housekeeping import housekeeping
from tests.support.jobs import SPEC, recorded
from tests.support.retention import remove_expired
from tests.support.services import make_service

Submit = Callable[..., str]
LEASE_S = 0.2


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    return make_service(tmp_path, **servers, lease_s=LEASE_S, retention_s=1)


def change(service: Service, key: str, part: str, **fields: object) -> None:
    """Let a part of a record be as a newer version has written it."""
    text: Any = service.valkey.hget(key, part)
    service.valkey.hset(key, part, json.dumps({**json.loads(text), **fields}))


def newer(service: Service, job_id: str) -> str:
    """Let a job be one that no older version may read."""
    service.valkey.hset(job_key(job_id), "record_version", VERSION + 1)
    return job_id


@pytest.mark.parametrize("part", ["options", "spec"])
def test_a_job_with_a_field_that_is_not_known_yet_is_read(
    client: FlaskClient, service: Service, submit: Submit, part: str
) -> None:
    job_id = submit()
    change(service, job_key(job_id), part, weather="fine")

    assert client.get(f"/v1/jobs/{job_id}").get_json()["status"] == "queued"
    assert [job["id"] for job in client.get("/v1/jobs").get_json()["jobs"]] == [job_id]


@pytest.mark.parametrize(
    ("field", "value"), [("record_version", VERSION + 1), ("status", "paused"), ("lane", "express")]
)
def test_a_job_that_is_not_understood_is_refused_by_name_and_hides_no_other(
    client: FlaskClient, service: Service, submit: Submit, field: str, value: str | int
) -> None:
    strange, plain = submit(), submit()
    service.valkey.hset(job_key(strange), field, value)

    answer = client.get(f"/v1/jobs/{strange}")

    assert (answer.status_code, answer.get_json()["type"].rpartition(":")[2]) == (503, "record_not_understood")
    assert answer.headers["Retry-After"]
    assert [job["id"] for job in client.get("/v1/jobs").get_json()["jobs"]] == [plain]


def test_a_scheduler_of_a_newer_version_is_not_mistaken_for_none(service: Service, submit: Submit) -> None:
    job_id = submit()
    change(service, job_key(job_id), "spec", scheduler="euler_of_the_future")

    with pytest.raises(RecordNotUnderstood, match=f"^Job {job_id} was recorded by another version"):
        service.store.get(job_id)
    with pytest.raises(LeftToAnother):
        service.store.claim(job_id, "worker")


def of_a_newer_version(lane: Lane, service: Service) -> Job:
    """A job that wants what this version does not know."""
    return recorded(service.recorder, JobSpec.model_validate({**SPEC.model_dump(), "tiling": 2}), lane)


def test_a_worker_leaves_an_interactive_job_that_it_would_draw_wrongly(service: Service) -> None:
    strange = of_a_newer_version(Lane.INTERACTIVE, service)

    with pytest.raises(LeftToAnother, match="is left to another worker"):
        service.interactive.claim("demo", "worker")

    plain = recorded(service.recorder, SPEC)
    claimed = service.interactive.claim("demo", "worker")
    assert claimed is not None
    assert claimed.id == plain.id
    assert service.store.get(strange.id).status is Status.QUEUED


def test_a_worker_leaves_a_line_that_it_would_draw_wrongly(service: Service) -> None:
    strange, plain = of_a_newer_version(Lane.BACKFILL, service), recorded(service.recorder, SPEC, Lane.BACKFILL)

    assert [job.id for job in service.backfill.claim("demo", "worker")] == [plain.id]
    assert service.backfill.claim("demo", "worker") == ()
    assert service.store.get(strange.id).status is Status.QUEUED


def test_a_worker_finds_what_it_can_draw_behind_any_number_of_others(service: Service) -> None:
    for _ in range(200):
        of_a_newer_version(Lane.INTERACTIVE, service)
    plain = recorded(service.recorder, SPEC, options=JobOptions(owner="another"))

    claimed = service.interactive.claim("demo", "worker")

    assert claimed is not None
    assert claimed.id == plain.id


def test_housekeeping_goes_on_beside_a_job_that_is_not_understood(service: Service, submit: Submit) -> None:
    strange, plain, late = submit(), submit(), submit(deadline_s=1)
    for job_id in (strange, plain):
        assert service.store.claim(job_id, "dies")
    newer(service, strange)
    time.sleep(1 + LEASE_S)

    housekeeping(service)

    assert service.store.get(plain).status is Status.QUEUED
    assert service.store.get(late).status is Status.FAILED
    assert service.valkey.hget(job_key(strange), "status") == "running"


def test_retention_goes_on_beside_a_job_that_is_not_understood(service: Service, submit: Submit) -> None:
    strange, plain = submit(), submit()
    for job_id in (strange, plain):
        service.store.cancel(job_id)
    newer(service, strange)
    time.sleep(1.2)

    remove_expired(service)

    assert service.valkey.exists(job_key(strange), job_key(plain)) == 1


def test_a_batch_that_is_not_understood_hides_no_other(client: FlaskClient, service: Service) -> None:
    body = b'{"custom_id": "a", "prompt": "a red circle"}\n'
    strange, plain = (
        client.post("/v1/batches", data=body, content_type="application/jsonl").get_json()["id"] for _ in range(2)
    )
    service.valkey.hset(batch_key(strange), "status", "paused")

    assert client.get(f"/v1/batches/{strange}").status_code == 503
    assert [batch.id for batch in service.batches.active()] == [plain]


def test_what_a_newer_version_says_of_a_key_outlives_an_older_one_that_revokes_it(service: Service) -> None:
    keys = ApiKeys(service.valkey)
    key, _ = keys.create("a", default_limits(service.settings))
    change(service, KEYS, key.id, colour="red")

    keys.revoke(key.id)

    text: Any = service.valkey.hget(KEYS, key.id)
    assert json.loads(text)["colour"] == "red"


def test_a_key_that_is_not_understood_lets_no_one_in(client: FlaskClient, service: Service) -> None:
    key, secret = ApiKeys(service.valkey).create("a", default_limits(service.settings))
    change(service, KEYS, key.id, record_version=VERSION + 1)

    assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {secret}"}).status_code == 503
