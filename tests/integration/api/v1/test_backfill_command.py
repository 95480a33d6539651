"""``stokehold backfill`` against a running API, with a worker that draws the same image for every line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask_openapi3.openapi import OpenAPI

from tasks.backfill.__main__ import main
from tasks.jobs.images import attempt_prefix
from tasks.jobs.result import Failure, Result, StoredImage, Timings
from tasks.service import Service
from tests.support.batches import advance_batches, plan_batches
from tests.support.drawing_thread import WORKER, repeating
from tests.support.drawing_thread import drawing as at_work
from tests.support.http_server import serving

IMAGE = b"image"

Command = Callable[..., None]


class Drawing:
    """Draws the same image for every line; ``fails`` says whether a bad one has none."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.fails = False

    def __call__(self, job_id: str) -> None:
        job = self._service.store.claim(job_id, WORKER)
        assert job is not None
        if self.fails and "bad" in job.spec.prompt:
            self._service.store.fail(job, Failure(code="drawing_failed", message="It failed."))
            return
        key = f"{attempt_prefix(job.lease)}0.png"
        stored = self._service.storage.put(key, IMAGE, content_type="image/png")
        image = StoredImage(key=key, width=64, height=64, bytes=stored.bytes, sha256=stored.sha256, seed=job.spec.seed)
        self._service.store.succeed(job, Result(images=(image,)), Timings(swap=0, draw=1))


@pytest.fixture
def drawing(service: Service) -> Iterator[Drawing]:
    """The light worker and a worker, at work."""

    def light_work() -> None:
        plan_batches(service)
        advance_batches(service)

    work = Drawing(service)
    with repeating(light_work), at_work(service, work):
        yield work


@pytest.fixture
def command(app: OpenAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """The command, with the address of the API."""
    monkeypatch.setattr("tasks.backfill.progress.POLL_S", 0.05)
    with serving(app) as url:
        yield lambda *arguments: main(["--url", url, *map(str, arguments)])


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("a red circle\na bad circle\na blue circle\n")
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def images(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.png"))}


def test_a_file_becomes_images_and_results(
    command: Command, drawing: Drawing, prompts: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("run", prompts, "--adapter", "pixel=0.5", "--steps", 3, "--out", out)

    assert list(images(out).values()) == [IMAGE] * 3
    assert [(line["custom_id"], line["images"][0]["file"]) for line in results(out)] == [
        ("1", "0000001-1-0.png"),
        ("2", "0000002-2-0.png"),
        ("3", "0000003-3-0.png"),
    ]
    assert results(out)[0]["images"][0]["sha256"] == hashlib.sha256(IMAGE).hexdigest()
    printed = capsys.readouterr()
    assert "3 images downloaded, 0 were there already" in printed.out
    assert "completed: 3 succeeded, 0 failed, 0 canceled" in printed.out
    assert re.search(r"3/3 lines \[.*, 0 failed, [0-9.]+ images/s", printed.err)


def test_the_same_command_goes_on_where_it_was(
    command: Command, drawing: Drawing, prompts: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("run", prompts, "--out", out)
    (out / "0000001-1-0.png").write_bytes(b"damaged")
    (out / "0000002-2-0.png").unlink()

    command("run", prompts, "--out", out)

    assert "2 images downloaded, 1 were there already" in capsys.readouterr().out
    assert list(images(out).values()) == [IMAGE] * 3


def test_other_lines_need_another_folder(command: Command, drawing: Drawing, prompts: Path, out: Path) -> None:
    command("run", prompts, "--out", out)

    with pytest.raises(SystemExit, match="belongs to another file"):
        command("run", prompts, "--steps", 3, "--out", out)


def test_a_dry_run_answers_with_the_plan_and_draws_nothing(
    command: Command, drawing: Drawing, prompts: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("run", prompts, "--out", out, "--dry-run")

    printed = capsys.readouterr().out
    assert "planned: 0 succeeded" in printed
    assert "3 images, 0 adapters" in printed
    assert not out.exists()


def test_what_failed_is_said_and_can_be_tried_again(
    command: Command, drawing: Drawing, prompts: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing.fails = True
    with pytest.raises(SystemExit) as ended:
        command("run", prompts, "--out", out)
    assert ended.value.code == 1
    assert results(out)[1]["error"]["code"] == "drawing_failed"
    drawing.fails = False

    command("retry-failed", "--out", out)

    assert "1 images downloaded, 2 were there already" in capsys.readouterr().out
    assert [line["status"] for line in results(out)] == ["succeeded"] * 3


def test_status_cancel_and_download(
    command: Command, drawing: Drawing, prompts: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("run", prompts, "--out", out)
    for path in out.glob("*.png"):
        path.unlink()
    capsys.readouterr()

    command("status", "--out", out)
    command("download", "--out", out)
    with pytest.raises(SystemExit, match="cannot become canceling"):
        command("cancel", "--out", out)

    assert "3 images downloaded" in capsys.readouterr().out
    assert len(images(out)) == 3


def test_a_folder_of_no_batch_says_how_to_begin(command: Command, out: Path) -> None:
    with pytest.raises(SystemExit, match="Begin with: run FILE --out"):
        command("status", "--out", out)


def test_a_line_that_the_api_refuses_is_named(
    command: Command, drawing: Drawing, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "b", "stepps": 3}\n')

    with pytest.raises(SystemExit) as ended:
        command("run", path, "--out", out)

    assert ended.value.code == 1
    assert "line 2: stepps: Extra inputs are not permitted" in capsys.readouterr().out


def test_an_api_that_is_away_is_one_sentence(prompts: Path, out: Path) -> None:
    with pytest.raises(SystemExit, match="does not answer"):
        main(["--url", "http://127.0.0.1:1", "run", str(prompts), "--out", str(out)])
