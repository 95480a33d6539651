"""A batch that cannot go on fails with a reason that its client understands, and holds up no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.base_models.registry import read_base_models
from tasks.batches.batch import Batch, BatchOptions, BatchStatus
from tasks.batches.store import ACTIVE
from tasks.errors import StatusConflict
from tasks.jobs.keyspace import job_key
from tasks.jobs.line_place import batch_key
from tasks.jobs.result import Result, StoredImage, Timings
from tasks.keys import default_limits
from tasks.loops.quarantine import MAX_FAILURES
from tasks.service import Service
from tests.support.batches import advance_batches, plan_batches, record_batch
from tests.support.no_storage import NO_STORAGE
from tests.support.services import MODELS_TOML, make_service

IMAGE = StoredImage(key="images/0.png", width=64, height=64, bytes=10, sha256="ab", seed=1)


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    return make_service(tmp_path, **servers)


def options_of(service: Service, name: str) -> BatchOptions:
    """The terms of a batch of a new API key."""
    key, _ = service.keys.create(name, default_limits(service.settings))
    return BatchOptions(owner=key.id)


def batch(service: Service, owner: str, lines: int = 3, steps: int = 40) -> Batch:
    made = [json.dumps({"custom_id": str(n), "prompt": "a red circle", "steps": steps}) for n in range(lines)]
    return record_batch(service, "\n".join(made).encode(), options_of(service, owner))


def draw(service: Service, count: int = 10**6) -> None:
    while count and (jobs := service.backfill.claim("demo", "worker")):
        service.store.succeed(jobs[0], Result(images=(IMAGE,)), Timings())
        count -= 1


def rounds(service: Service, count: int = MAX_FAILURES + 2) -> None:
    for _ in range(count):
        plan_batches(service)
        advance_batches(service)
        draw(service)


def with_models(service: Service, tmp_path: Path, models: str) -> Service:
    """The service after its operator has changed ``models.toml``."""
    file = tmp_path / "changed.toml"
    file.write_text(models, "utf-8")
    return replace(service, base_models=read_base_models(file))


def lower_limits(service: Service, poisoned: Batch, folder: Path) -> Service:
    return with_models(service, folder, MODELS_TOML.replace("max_steps = 50", "max_steps = 20"))


def remove_base(service: Service, poisoned: Batch, folder: Path) -> Service:
    return with_models(
        service, folder, MODELS_TOML.partition('[[base]]\nslug = "sdxl"')[0].replace('"demo"', '"other"')
    )


def lose_plan(service: Service, poisoned: Batch, folder: Path) -> Service:
    for key in poisoned.plan_objects:
        service.storage.remove(key)
    return service


def break_rows(service: Service, poisoned: Batch, folder: Path) -> Service:
    lines, _ = poisoned.plan_objects
    service.storage.put(lines, b"x" * 1000 + b"\n", content_type="application/jsonl")
    return service


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (lower_limits, "at most 20 steps"),
        (remove_base, "no longer served"),
        (lose_plan, "missing from storage"),
        (break_rows, ""),
    ],
)
def test_a_running_batch_that_cannot_go_on_fails_and_others_run(
    service: Service,
    tmp_path: Path,
    poison: Callable[[Service, Batch, Path], Service],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.batches.expansion.WINDOW", 1)
    poisoned = batch(service, "a")
    rounds(service, 1)
    changed = poison(service, service.batches.get(poisoned.id), tmp_path)
    other = batch(changed, "b", steps=1) if poison is not remove_base else None

    rounds(changed, MAX_FAILURES + 6)

    failed = service.batches.get(poisoned.id)
    assert failed.status is BatchStatus.FAILED
    assert failed.error is not None
    assert reason in failed.error.message
    assert failed.succeeded == 1, "what was drawn before is kept"
    assert len(service.storage.get(failed.result_objects[0]).splitlines()) == 1
    assert other is None or service.batches.get(other.id).status is BatchStatus.COMPLETED
    assert service.batches.active_ids() == []


def test_it_can_be_tried_again_when_its_operator_has_mended_that(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.batches.expansion.WINDOW", 1)
    poisoned = batch(service, "a")
    rounds(service, 1)
    rounds(lower_limits(service, poisoned, tmp_path), MAX_FAILURES + 6)

    service.batch_control.retry(service.batches.get(poisoned.id))
    rounds(service, 6)

    done = service.batches.get(poisoned.id)
    assert (done.status, done.succeeded, done.error) == (BatchStatus.COMPLETED, 3, None)


def test_a_batch_that_cannot_be_planned_for_a_reason_of_ours_fails_too(service: Service) -> None:
    poisoned = batch(service, "a")
    service.storage.remove(poisoned.input)
    other = batch(service, "a")

    rounds(service)

    assert service.batches.get(poisoned.id).status is BatchStatus.FAILED
    assert service.batches.get(other.id).status is BatchStatus.COMPLETED
    with pytest.raises(StatusConflict, match="before it had any results"):
        service.batch_control.retry(service.batches.get(poisoned.id))


@pytest.mark.parametrize(("field", "value"), [("options", "{"), ("status", "paused"), ("created_at", "yesterday")])
def test_a_record_that_is_damaged_is_set_aside_and_comes_back(service: Service, field: str, value: str) -> None:
    strange, plain = batch(service, "a"), batch(service, "a")
    sound = service.valkey.hget(batch_key(strange.id), field)
    service.valkey.hset(batch_key(strange.id), field, value)

    rounds(service)

    assert service.batches.get(plain.id).status is BatchStatus.COMPLETED
    assert [(record.index, record.member) for record in service.quarantine.records()] == [(ACTIVE, strange.id)]
    assert service.valkey.hget(batch_key(strange.id), field) == value, "nothing of it is touched"

    service.valkey.hset(batch_key(strange.id), field, str(sound))
    service.quarantine.release_all()
    rounds(service)
    assert service.batches.get(strange.id).status is BatchStatus.COMPLETED


def test_an_active_batch_without_a_record_is_forgotten(service: Service) -> None:
    service.valkey.sadd(ACTIVE, "0" * 32)

    rounds(service, 1)

    assert service.batches.active_ids() == []


@pytest.mark.parametrize("ended", [True, False])
def test_a_job_whose_record_is_gone_counts_as_failed_and_its_batch_ends(service: Service, ended: bool) -> None:
    made = batch(service, "a")
    plan_batches(service)
    advance_batches(service)
    lost, *others = sorted(service.batch_progress.jobs(made))
    for job_id in [*others, lost] if ended else others:
        claimed = service.store.claim(job_id, "worker")
        assert claimed
        service.store.succeed(claimed, Result(images=(IMAGE,)), Timings())
    service.valkey.delete(job_key(lost))

    rounds(service, 3)

    done = service.batches.get(made.id)
    assert (done.status, done.succeeded, done.failed) == (BatchStatus.COMPLETED, 2, 1)


def test_storage_that_is_unavailable_counts_against_no_batch(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    made = batch(service, "a")

    for _ in range(2 * MAX_FAILURES):
        plan_batches(replace(service, storage=NO_STORAGE))
    rounds(service, 2)

    assert service.batches.get(made.id).status is BatchStatus.COMPLETED
