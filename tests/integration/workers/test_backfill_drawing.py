"""A worker draws the backfill lane: several lines in one pass, and never in the way of an interactive job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.errors import ValkeyUnavailable
from tasks.jobs.job import Job, Lane, Status
from tasks.requests.job import JobRequest
from tasks.service import Service
from tests.support.jobs import SPEC, submitted_to
from tests.support.loras import write_noise
from tests.support.services import make_service
from tests.support.steps import on_step
from tests.support.waiting import wait_until
from tests.support.warm_workers import warm_worker
from workers.run.backfill import Backfill
from workers.run.runner import JobRunner

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

PROMPTS = ("a red circle", "a blue circle on a red background", "circle")


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    service = make_service(tmp_path, **servers)
    write_noise(tmp_path / "loras", 1, 2)
    return service


@pytest.fixture
def runner(service: Service) -> JobRunner:
    return warm_worker(service).runner


def submitted(service: Service, lane: Lane = Lane.BACKFILL, **request: Any) -> Job:
    values = {"prompt": PROMPTS[0], "steps": 4, "seed": 7, **request}
    return submitted_to(service, lane, JobRequest.model_validate(values))


def claimed(service: Service, count: int) -> tuple[Job, ...]:
    return service.backfill.claim("demo", "demo-1@here", count)


def pixels(service: Service, job: Job) -> np.ndarray[Any, Any]:
    """Of all images of a job."""
    keys = [image.key for image in service.store.get(job.id).result.images]
    return np.stack([np.asarray(Image.open(BytesIO(service.storage.get(key or "")))) for key in keys]).astype(int)


def passes(runner: JobRunner) -> list[int]:
    """How many images each pass of the pipeline draws from now on."""
    sizes: list[int] = []
    encode = type(runner.stages.warm.base.pipeline).encode_prompt

    def count(*arguments: Any, **options: Any) -> Any:
        sizes.append(len(arguments[0] if arguments else options["prompt"]))
        return encode(runner.stages.warm.base.pipeline, *arguments, **options)

    runner.stages.warm.base.pipeline.encode_prompt = count
    return sizes


class TestOnePass:
    def test_lines_are_drawn_in_one_pass_each_as_it_is_alone(self, service: Service, runner: JobRunner) -> None:
        def lines() -> list[Job]:
            adapter = {"ref": "noise1", "scale": 0.5}
            return [
                submitted(service, prompt=prompt, seed=seed, images=2, adapters=[adapter])
                for seed, prompt in enumerate(PROMPTS)
            ]

        alone = lines()
        for _ in alone:
            runner.run_jobs(claimed(service, 1))
        sizes, together = passes(runner), lines()
        runner.run_jobs(claimed(service, 8))

        assert sizes == [3, 3]
        for one, other in zip(alone, together, strict=True):
            now = service.store.get(other.id)
            assert (now.result.batch_size, service.store.get(one.id).result.batch_size) == (3, 1)
            assert [image.seed for image in now.result.images] == [other.spec.seed, other.spec.seed + 1]
            assert np.abs(pixels(service, one) - pixels(service, other)).max() <= 1

    def test_a_pass_draws_no_more_images_than_it_has_steps(self, service: Service, runner: JobRunner) -> None:
        jobs = [submitted(service, steps=2) for _ in PROMPTS]
        sizes = passes(runner)

        runner.run_jobs(claimed(service, 3))

        assert sizes == [2, 1]
        assert all(service.store.get(job.id).status is Status.SUCCEEDED for job in jobs)

    def test_one_swap_is_counted_and_the_drawing_is_divided(self, service: Service, runner: JobRunner) -> None:
        jobs = [submitted(service, adapters=[{"ref": "noise1"}]) for _ in PROMPTS]

        runner.run_jobs(claimed(service, 3))

        timings = [service.store.get(job.id).timings for job in jobs]
        assert [one.swap_way for one in timings] == ["merged", "kept", "kept"]
        assert len({one.draw for one in timings}) == 1

    def test_a_line_that_cannot_be_drawn_fails_alone(self, service: Service, runner: JobRunner) -> None:
        good, bad = submitted(service), submitted(service, prompt="poison")
        encode = type(runner.stages.warm.base.pipeline).encode_prompt

        def refuse(prompt: list[str], *arguments: Any, **options: Any) -> Any:
            if "poison" in prompt:
                raise IndexError("no such token")
            return encode(runner.stages.warm.base.pipeline, prompt, *arguments, **options)

        runner.stages.warm.base.pipeline.encode_prompt = refuse
        runner.run_jobs(claimed(service, 2))

        assert service.store.get(good.id).status is Status.SUCCEEDED
        assert service.store.get(bad.id).status is Status.FAILED

    def test_a_canceled_line_costs_the_others_only_time(self, service: Service, runner: JobRunner) -> None:
        first, second = submitted(service), submitted(service)
        jobs = claimed(service, 2)
        service.store.cancel(first.id)

        runner.run_jobs(jobs)

        assert service.store.get(first.id).status is Status.CANCELED
        assert service.store.get(second.id).status is Status.SUCCEEDED
        assert not list(service.storage.list(f"images/{first.id}/"))

    def test_a_worker_that_shuts_down_requeues_all_of_them(self, service: Service, runner: JobRunner) -> None:
        jobs = [submitted(service), submitted(service)]
        taken = claimed(service, 2)
        runner.shutdown.graceful.set()

        runner.run_jobs(taken)

        assert [service.store.get(job.id).status for job in jobs] == [Status.QUEUED, Status.QUEUED]


class TestInteractiveJobs:
    def interrupted(self, service: Service, runner: JobRunner, interactive: Job, count: int) -> list[Any]:
        """Draw backfill jobs, and begin with an interactive one in the second step; what was waiting in each step."""
        seen: list[Any] = []
        thread = threading.Thread(target=runner, args=(interactive.id,))

        def step() -> None:
            seen.append(service.store.get(interactive.id).status)
            if len(seen) == 2:
                thread.start()
                wait_until(lambda: runner.stages.warm.device_thread.is_wanted)

        jobs = claimed(service, count)
        on_step(runner, step)
        runner.run_jobs(jobs)
        thread.join()
        return seen

    @pytest.mark.parametrize("count", [1, 2])
    def test_it_is_drawn_between_two_steps_of_a_backfill_and_neither_image_shows_it(
        self, service: Service, runner: JobRunner, count: int
    ) -> None:
        fields: dict[str, Any] = {"adapters": [{"ref": "noise1"}]}
        undisturbed = [submitted(service, **fields) for _ in range(count)]
        runner.run_jobs(claimed(service, count))
        other = {"adapters": [{"ref": "noise2"}], "steps": 3}
        alone = submitted(service, Lane.INTERACTIVE, **other)
        runner(alone.id)

        lines = [submitted(service, **fields) for _ in range(count)]
        interactive = submitted(service, Lane.INTERACTIVE, **other)
        seen = self.interrupted(service, runner, interactive, count)

        assert seen[:5] == [Status.QUEUED] * 2 + [Status.RUNNING] * 3
        assert len(seen) == 7
        assert np.array_equal(pixels(service, interactive), pixels(service, alone))
        for before, after in zip(undisturbed, lines, strict=True):
            assert np.array_equal(pixels(service, after), pixels(service, before))

    def test_the_seconds_of_the_interruption_are_not_the_backfill_jobs(
        self, service: Service, runner: JobRunner
    ) -> None:
        line, interactive = submitted(service), submitted(service, Lane.INTERACTIVE, steps=30)

        self.interrupted(service, runner, interactive, 1)

        first, other = (service.store.get(job.id).timings.draw or 0 for job in (line, interactive))
        assert first < other

    def test_a_drawing_on_a_base_that_was_replaced_meanwhile_goes_back(
        self, service: Service, runner: JobRunner
    ) -> None:
        line, interactive = submitted(service), submitted(service, Lane.INTERACTIVE)
        swap = runner.stages.warm.swap

        def replace_the_base(adapters: Any) -> Any:
            runner.stages.warm._base = None
            return swap(adapters)

        claimed_line = claimed(service, 1)
        on_step(runner, lambda: begin_once(runner, interactive, replace_the_base))
        runner.run_jobs(claimed_line)
        wait_until(lambda: service.store.get(interactive.id).status.is_terminal)

        assert service.store.get(interactive.id).status is Status.SUCCEEDED
        assert service.store.get(line.id).status is Status.QUEUED


def begin_once(runner: JobRunner, job: Job, swap: Callable[[Any], Any]) -> None:
    """Let a job come that finds the base changed."""
    if runner.stages.warm.swap is not swap:
        object.__setattr__(runner.stages.warm, "swap", swap)
        threading.Thread(target=runner, args=(job.id,)).start()
        wait_until(lambda: runner.stages.warm.device_thread.is_wanted)


class TestThreads:
    def test_they_draw_whatever_comes_until_they_are_stopped(self, service: Service, runner: JobRunner) -> None:
        backfill = Backfill(lambda: claimed(service, 2), runner.run_jobs, runner.shutdown.graceful)
        jobs = [submitted(service) for _ in range(5)]

        backfill.start()
        jobs.append(submitted(service))
        wait_until(lambda: all(service.store.get(job.id).status is Status.SUCCEEDED for job in jobs))
        backfill.stop()
        left = submitted(service)

        assert service.store.get(left.id).status is Status.QUEUED

    @pytest.mark.parametrize("error", [ValkeyUnavailable("away"), KeyError("no such field")])
    @pytest.mark.parametrize("when", ["they claim", "they draw"])
    def test_an_error_does_not_end_them(self, error: Exception, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.run.backfill.AGAIN_S", 0)
        stopping, asked = threading.Event(), list[int]()
        job = Job(id="a", spec=SPEC, lane=Lane.BACKFILL, status=Status.RUNNING, created_at=datetime.now(UTC))

        def claim() -> tuple[Job, ...]:
            asked.append(1)
            if len(asked) > 4:
                stopping.set()
            if when == "they claim":
                raise error
            return (job,)

        def draw(_: Sequence[Job]) -> None:
            raise error

        backfill = Backfill(claim, draw, stopping)
        backfill.start()
        backfill.stop()

        assert len(asked) > 1
