"""A file of requests becomes jobs, and its results lie in storage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tasks.batches import expansion
from tasks.batches.batch import Batch, BatchOptions, BatchStatus, OnError
from tasks.errors import StatusConflict
from tasks.fields import ImageFormat
from tasks.jobs.job import Job, JobOptions
from tasks.jobs.line_place import LinePlace
from tasks.jobs.result import Failure, Result, StoredImage, SwapWay, Timings
from tasks.service import Service
from tests.support.batches import advance_batches, plan_batches, record_batch
from tests.support.jobs import SPEC
from tests.support.safetensors_files import write_lora
from tests.support.services import make_service

IMAGE = StoredImage(key="images/0.png", width=64, height=64, bytes=10, sha256="ab", seed=1)


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    service = make_service(tmp_path, **servers)
    for name in "abc":
        write_lora(tmp_path / "loras", name, sidecar='base_model = "demo"\n')
    return service


def send(service: Service, lines: Sequence[object], options: BatchOptions = BatchOptions()) -> Batch:  # noqa: B008 (frozen)
    body = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    return record_batch(service, body.encode(), options)


def planned(service: Service, lines: Sequence[object], options: BatchOptions = BatchOptions()) -> Batch:  # noqa: B008
    batch = send(service, lines, options)
    plan_batches(service)
    return service.batches.get(batch.id)


def line(number: int, adapter: str | None = None) -> dict[str, object]:
    adapters = [] if adapter is None else [{"ref": adapter}]
    return {"custom_id": f"line {number}", "prompt": f"a red circle {number}", "adapters": adapters}


def draw(service: Service, count: int = 10**6, failing: Sequence[int] = ()) -> list[Job]:
    """A worker draws the next jobs of the backfill lane."""
    drawn: list[Job] = []
    while len(drawn) < count and (jobs := service.backfill.claim("demo", "worker")):
        (job,) = jobs
        assert job.options.line is not None
        if job.options.line.number in failing:
            service.store.fail(job, Failure(code="drawing_failed", message="It failed."))
        else:
            timings = Timings(swap=0.5, draw=1, swap_way=SwapWay.MERGED)
            service.store.succeed(job, Result(images=(IMAGE,)), timings)
        drawn.append(job)
    return drawn


def draw_all(service: Service, failing: Sequence[int] = ()) -> list[Job]:
    """The worker and the light worker go on until nothing is left."""
    drawn: list[Job] = []
    while any(batch.status is BatchStatus.RUNNING for batch in service.batches.active()):
        advance_batches(service)
        drawn += draw(service, failing=failing)
    return drawn


def results(service: Service, batch: Batch, name: str = "results") -> list[dict[str, Any]]:
    return [json.loads(text) for text in service.storage.get(f"{batch.results}{name}.jsonl").splitlines()]


def test_every_line_is_drawn_once_and_the_results_are_in_the_order_of_the_lines(service: Service) -> None:
    batch = planned(service, [line(number) for number in range(1, 8)])

    drawn = draw_all(service)

    batch = service.batches.get(batch.id)
    assert (batch.status, batch.succeeded, batch.ended) == (BatchStatus.COMPLETED, 7, 7)
    assert len(drawn) == 7
    assert [result["line"] for result in results(service, batch)] == list(range(1, 8))
    assert results(service, batch)[0]["custom_id"] == "line 1"
    assert results(service, batch, "errors") == []


def test_lines_are_drawn_adapter_by_adapter(service: Service) -> None:
    planned(service, [line(number, "abc"[number % 3]) for number in range(12)])

    drawn = draw_all(service)

    adapters = [job.spec.adapters[0].adapter.ref for job in drawn]
    assert len(list(groupby(adapters))) == 3


def test_no_more_jobs_than_the_window_are_there_at_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "WINDOW", 5)
    batch = planned(service, [line(number) for number in range(20)])

    advance_batches(service)
    advance_batches(service)

    assert service.index.waiting("demo") == 5
    draw_all(service)
    assert service.batches.get(batch.id).succeeded == 20


def test_finished_jobs_leave_nothing_but_their_results(service: Service) -> None:
    batch = planned(service, [line(number) for number in range(3)])
    draw_all(service)

    jobs = service.valkey.keys("stokehold:job:*")
    assert all(service.valkey.ttl(key) > 0 for key in jobs)
    service.valkey.delete(*jobs)
    service.batches.forget(service.batches.get(batch.id))
    assert not [key for key in service.valkey.keys("stokehold:*") if batch.id in key]
    assert not service.valkey.zcard("stokehold:jobs:")


def test_a_line_that_cannot_be_served_rejects_the_batch(service: Service) -> None:
    batch = planned(service, [line(1), {"custom_id": "x", "prompt": "a", "width": 7}, "no json", line(1)])

    assert batch.status is BatchStatus.FAILED
    assert [error.line for error in batch.errors] == [2, 3, 4]
    assert "width" in batch.errors[0].message
    assert "custom_id" in batch.errors[2].message
    assert service.index.waiting("demo") == 0


def test_a_line_of_an_openai_batch_file_is_taken_as_it_is(service: Service) -> None:
    bodies = [
        {"model": "a", "prompt": "a red circle", "n": 2, "size": "64x64", "output_format": "webp"},
        {"model": "demo", "prompt": "a red circle", "adapters": [{"ref": "b"}], "response_format": "b64_json"},
    ]
    batch = planned(
        service,
        [
            {"custom_id": f"line {number}", "method": "POST", "url": "/v1/images/generations", "body": body}
            for number, body in enumerate(bodies)
        ],
    )

    first, second = sorted(draw_all(service), key=lambda job: job.id)

    assert service.batches.get(batch.id).succeeded == 2
    assert [scaled.adapter.ref for job in (first, second) for scaled in job.spec.adapters] == ["a", "b"]
    assert (first.spec.image_count, first.spec.image_format, first.spec.width) == (2, ImageFormat.WEBP, 64)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"method": "GET"}, "method"),
        ({"url": "/v1/chat/completions"}, "url"),
        ({"body": {"prompt": "a", "style": "vivid"}}, "body.style"),
        ({"body": {}}, "body.prompt"),
    ],
)
def test_what_is_wrong_with_such_a_line_is_told_by_its_own_field(
    service: Service, line: dict[str, object], field: str
) -> None:
    whole = {"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": {"prompt": "a"}}

    batch = planned(service, [{**whole, **line}])

    assert batch.errors[0].message.startswith(f"{field}: ")


def test_or_is_passed_over(service: Service) -> None:
    batch = planned(service, [line(1), line(2, "nobody"), line(3)], BatchOptions(on_error=OnError.SKIP))

    draw_all(service)

    batch = service.batches.get(batch.id)
    assert (batch.status, batch.succeeded, batch.skipped) == (BatchStatus.COMPLETED, 2, 1)
    assert "nobody" in batch.errors[0].message


def test_a_line_that_fails_fails_alone(service: Service) -> None:
    batch = planned(service, [line(number) for number in range(1, 4)])

    draw_all(service, failing=[2])

    batch = service.batches.get(batch.id)
    assert (batch.succeeded, batch.failed) == (2, 1)
    assert [result["line"] for result in results(service, batch, "errors")] == [2]
    assert results(service, batch)[1]["error"] == {"code": "drawing_failed", "message": "It failed."}


def test_a_dry_run_draws_nothing_and_says_what_it_would_take(service: Service) -> None:
    batch = planned(service, [line(number, "ab"[number % 2]) for number in range(6)], BatchOptions(dry_run=True))
    advance_batches(service)

    assert batch.status is BatchStatus.PLANNED
    assert batch.forecast is not None
    assert (batch.forecast.lines, batch.forecast.swaps, batch.forecast.adapters) == (6, 2, 2)
    assert service.index.waiting("demo") == 0


def test_a_canceled_batch_keeps_the_results_that_it_has(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "WINDOW", 5)
    batch = planned(service, [line(number) for number in range(20)])
    advance_batches(service)
    draw(service, 2)

    service.batch_control.cancel(batch)
    advance_batches(service)
    advance_batches(service)

    batch = service.batches.get(batch.id)
    assert (batch.status, batch.succeeded, batch.canceled) == (BatchStatus.CANCELED, 2, 3)
    assert service.index.waiting("demo") == 0
    assert len(results(service, batch)) == 5


def test_a_retry_draws_what_has_no_images(service: Service) -> None:
    batch = planned(service, [line(number, "ab"[number % 2]) for number in range(1, 7)])
    draw_all(service, failing=[2, 5])

    service.batch_control.retry(service.batches.get(batch.id))
    plan_batches(service)
    again = draw_all(service)

    batch = service.batches.get(batch.id)
    assert sorted(job.options.line.number for job in again if job.options.line) == [2, 5]
    assert (batch.status, batch.succeeded, batch.failed) == (BatchStatus.COMPLETED, 6, 0)
    assert [result["status"] for result in results(service, batch)] == ["succeeded"] * 6


def test_the_counters_of_a_batch_add_up_to_its_lines_through_retries(service: Service) -> None:
    def assert_all_are_counted() -> None:
        counts = service.batch_records.of(service.batches.get(batch.id)).counts
        assert counts.lines == 6
        assert sum(counts.model_dump(exclude={"lines", "skipped"}).values()) == 6

    batch = planned(service, [line(number) for number in range(1, 7)])
    draw_all(service, failing=[2, 5])
    assert_all_are_counted()

    service.batch_control.retry(service.batches.get(batch.id))
    assert_all_are_counted()
    plan_batches(service)
    assert_all_are_counted()
    service.batch_control.cancel(service.batches.get(batch.id))
    advance_batches(service)
    assert_all_are_counted()

    service.batch_control.retry(service.batches.get(batch.id))
    plan_batches(service)
    draw_all(service)
    assert_all_are_counted()


def test_a_retry_goes_on_with_a_canceled_batch(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "WINDOW", 5)
    batch = planned(service, [line(number) for number in range(1, 13)])
    advance_batches(service)
    draw(service, 2)
    service.batch_control.cancel(batch)
    advance_batches(service)
    advance_batches(service)

    service.batch_control.retry(service.batches.get(batch.id))
    plan_batches(service)
    draw_all(service)

    batch = service.batches.get(batch.id)
    assert (batch.status, batch.succeeded) == (BatchStatus.COMPLETED, 12)
    assert [result["line"] for result in results(service, batch)] == list(range(1, 13))


def test_there_is_nothing_to_try_again_where_all_succeeded(service: Service) -> None:
    batch = planned(service, [line(1)])
    draw_all(service)

    with pytest.raises(StatusConflict, match="nothing to retry"):
        service.batch_control.retry(service.batches.get(batch.id))


def test_a_line_that_was_a_job_already_never_becomes_another(service: Service) -> None:
    batch = planned(service, [line(1)])
    advance_batches(service)
    draw(service)
    advance_batches(service)

    service.valkey.delete(f"stokehold:job:{batch.job_id(1)}")

    place = LinePlace(batch.id, batch.plan or "", group=0, begin=0, end=10)
    again = service.recorder.create_line(batch.job_id(1), SPEC, JobOptions(), place)

    assert again is None
    assert service.index.waiting("demo") == 0


def test_the_end_of_a_batch_is_final(service: Service) -> None:
    batch = planned(service, [line(1)])
    draw_all(service)

    with pytest.raises(StatusConflict):
        service.batches.transition(batch, BatchStatus.CANCELING)
