"""The light worker is killed again and again while a batch runs: each line still becomes one job."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.batches.batch import BatchStatus
from tasks.jobs.result import Result, StoredImage, Timings
from tasks.service import Service
from tasks.settings import PREFIX
from tests.support.batches import advance_batches, plan_batches, record_batch

ROUNDS = 100
LINES = 1000
STEPS_OF_A_ROUND = 90
IMAGE = StoredImage(key="images/0.png", width=64, height=64, bytes=10, sha256="ab", seed=1)


@contextmanager
def dying_light_worker(service: Service) -> Iterator[subprocess.Popen[str]]:
    """A process that forks light workers which die at the step that it is told."""
    settings = service.settings
    assert settings.s3_secret_key is not None
    values = {
        "VALKEY_URL": settings.valkey_url,
        "S3_ENDPOINT": settings.s3_endpoint,
        "S3_BUCKET": settings.s3_bucket,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "MODELS_FILE": str(settings.models_file),
        "ADAPTER_FOLDERS": ":".join(map(str, settings.adapter_folders)),
    }
    environment = {**os.environ, **{PREFIX + name: str(value) for name, value in values.items()}}
    command = [sys.executable, "-m", "tests.support.dying_light_worker"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.communicate()


def let_die(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{step}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "dead\n"


def draw(service: Service, count: int) -> list[str]:
    drawn: list[str] = []
    while len(drawn) < count and (jobs := service.backfill.claim("demo", "worker")):
        (job,) = jobs
        service.store.succeed(job, Result(images=(IMAGE,)), Timings())
        drawn.append(job.id)
    return drawn


def planned(service: Service) -> str:
    lines = (json.dumps({"custom_id": str(number), "prompt": "a red circle"}) for number in range(LINES))
    batch = record_batch(service, "\n".join(lines).encode())
    plan_batches(service)
    return batch.id


def test_every_line_becomes_one_job_though_the_light_worker_is_killed_a_hundred_times(service: Service) -> None:
    batch_id, choice, drawn = planned(service), random.Random(7), list[str]()

    with dying_light_worker(service) as process:
        for _ in range(ROUNDS):
            let_die(process, choice.randint(1, STEPS_OF_A_ROUND))
            drawn += draw(service, 9)
    drawn_meanwhile = len(drawn)
    while service.batches.active():
        advance_batches(service)
        drawn += draw(service, LINES)

    batch = service.batches.get(batch_id)
    results = [json.loads(text) for text in service.storage.get(f"{batch.results}results.jsonl").splitlines()]
    assert batch.status is BatchStatus.COMPLETED
    assert LINES // 3 < drawn_meanwhile < LINES
    assert Counter(drawn).most_common(1)[0][1] == 1
    assert len(drawn) == LINES == batch.succeeded
    assert [result["line"] for result in results] == list(range(1, LINES + 1))
