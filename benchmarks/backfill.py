"""A backfill over many adapters on the whole service, with deaths in the middle, beside a bare Celery loop.

python -m benchmarks.backfill --lines 10000 --adapters 20
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import bare_celery
from benchmarks.batch_service import BatchService, copies, running, send
from benchmarks.processes import peak_mib
from tasks.backfill.progress import read_batch
from tasks.batches.record import BatchRecord

PROMPT = "a red circle on a blue background"
SIDE, STEPS = 32, 1
BARE_LINES = 500
DEATHS = (1 / 3, 2 / 3)
"""After which parts of the lines the worker and the light worker are killed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backfill", description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--adapters", type=int, default=20)
    parser.add_argument("--accept", type=int, default=200_000, help="lines of a file that is only accepted and planned")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="stokehold-backfill-") as name:
        figures = measure(Path(name), options)
    print(json.dumps(figures) if options.json else "\n".join(f"  {key:<22} {value}" for key, value in figures.items()))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """The bare loop, the backfill, and the bare loop again."""
    names = copies(folder / "loras", options.adapters)
    lines = [line(number, names[number % len(names)]) for number in range(1, options.lines + 1)]
    with running(folder) as stage:
        bare = [bare_rate(stage)]
        record, seconds = backfill(stage, lines)
        results = [json.loads(text) for text in stage.client.lines(f"/v1/batches/{record.id}/results")]
        bare.append(bare_rate(stage))
        accepted = accept(stage, options.accept, names)
        memory = {name: peak_mib(stage.parts.pid(name)) for name in ("api", "light-worker", "valkey", "worker-demo")}
    rate = record.counts.succeeded / seconds
    return {
        "rate_ratio": round(rate / (sum(bare) / len(bare)), 4),
        "rate": round(rate, 2),
        "bare_rates": [round(value, 2) for value in bare],
        "swaps": record.outcome.swaps,
        "forecast_swaps": record.forecast.swaps if record.forecast else None,
        "adapters": len(names),
        "lines": options.lines,
        "succeeded": record.counts.succeeded,
        "failed": record.counts.failed,
        "in_order": [result["line"] for result in results] == list(range(1, options.lines + 1)),
        "peak_mib": memory,
        **accepted,
    }


def line(number: int, adapter: str) -> dict[str, object]:
    """A line that costs as little as a drawing can."""
    return {
        "custom_id": str(number),
        "prompt": PROMPT,
        "adapters": [{"ref": adapter}],
        "width": SIDE,
        "height": SIDE,
        "steps": STEPS,
        "seed": number,
    }


def backfill(stage: BatchService, lines: Sequence[dict[str, object]]) -> tuple[BatchRecord, float]:
    """Run a batch to its end with a death of each worker in the middle; its record and the seconds that it took."""
    begin = time.perf_counter()
    record = send(stage, lines, dry_run=False)
    deaths = [(DEATHS[0], "worker-demo"), (DEATHS[1], "light-worker")]
    while not record.status.is_terminal:
        time.sleep(0.5)
        record = read_batch(stage.client, record.id)
        if deaths and record.counts.succeeded >= deaths[0][0] * len(lines):
            stage.parts.start([stage.parts.kill(deaths.pop(0)[1])])
    return record, time.perf_counter() - begin


def accept(stage: BatchService, count: int, names: Sequence[str]) -> dict[str, object]:
    """Return how long it takes to accept and to plan a large file."""
    lines = [line(number, names[number % len(names)]) for number in range(1, count + 1)]
    begin = time.perf_counter()
    record = send(stage, lines, dry_run=True)
    accepted = time.perf_counter() - begin
    while not record.status.is_terminal:
        time.sleep(0.2)
        record = read_batch(stage.client, record.id)
    return {
        "large_lines": record.counts.lines,
        "large_accepted_s": round(accepted, 2),
        "large_planned_s": round(time.perf_counter() - begin, 2),
    }


def bare_rate(stage: BatchService) -> float:
    """Drawings a second of a Celery worker that does nothing else."""
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.bare_celery", "worker", "--pool", "threads"]
    command += ["--concurrency", "1", "--queues", bare_celery.QUEUE, "--without-gossip", "--without-mingle"]
    valkey = stage.service.valkey
    valkey.delete(bare_celery.DONE)
    silent = subprocess.DEVNULL
    with subprocess.Popen(command, env={**os.environ, **stage.environment}, stdout=silent, stderr=silent) as worker:
        try:
            send_bare(stage, 20)
            wait(lambda: done(stage) >= 20)  # warm
            begin = time.perf_counter()
            send_bare(stage, BARE_LINES)
            wait(lambda: done(stage) >= 20 + BARE_LINES)
            return BARE_LINES / (time.perf_counter() - begin)
        finally:
            worker.kill()


def send_bare(stage: BatchService, count: int) -> None:
    """Ask the bare worker for so many drawings."""
    for seed in range(count):
        arguments = (PROMPT, SIDE, STEPS, seed)
        stage.service.celery.send_task("bare.draw", args=arguments, queue=bare_celery.QUEUE, ignore_result=True)


def done(stage: BatchService) -> int:
    """Return how many drawings the bare worker has made."""
    return int(str(stage.service.valkey.get(bare_celery.DONE) or 0))


def wait(is_over: Callable[[], bool]) -> None:
    """Return when it is."""
    while not is_over():
        time.sleep(0.01)


if __name__ == "__main__":
    main()
