"""Overhead of the service: from POST to succeeded on an idle service, for a job that is drawn in no time.

One job at a time, each after a pause of random length, so that no period of the service is met always at the same
moment. The client keeps one connection and polls with ``wait``.

    python -m benchmarks.latency --jobs 100
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.http_client import Connection
from benchmarks.instant_stack import instant_service
from stack.ports import LOOPBACK

REQUEST = {"prompt": "a red circle on a blue background"}
WARM_UP_JOBS = 5
LONGEST_PAUSE_S = 0.3
WORKER_STAGES = ("adapter", "swap", "draw", "publish")


async def one_job(connection: Connection) -> dict[str, float]:
    """Seconds of each part of a job's way, which together are those of the whole.

    Every part is a difference on one clock: the client's and the server's are on one machine.
    """
    submitted = time.time()
    accepted = await connection.post("/v1/jobs", REQUEST)
    answered = time.time()
    record = accepted.body
    while record["status"] not in {"succeeded", "failed"}:
        record = (await connection.get(f"/v1/jobs/{record['id']}?wait=10")).body
    seen = time.time()
    assert record["status"] == "succeeded", record["error"]
    created, started, finished = (seconds(record, name) for name in ("created_at", "started_at", "finished_at"))
    stages = {name: float(record["timings"][name]) for name in WORKER_STAGES}
    return {
        "post_until_recorded": created - submitted,
        "recorded_until_claimed": started - created,
        **stages,
        "around_the_stages": finished - started - sum(stages.values()),
        "finished_until_seen": seen - finished,
        "total": seen - submitted,
        "post_answered": answered - submitted,  # beside the others: the worker has begun meanwhile
    }


def seconds(record: Mapping[str, Any], name: str) -> float:
    """A time of a job's record, in seconds since 1970."""
    return datetime.fromisoformat(record[name]).timestamp()


async def measure(port: int, jobs: int) -> list[dict[str, float]]:
    """Jobs one after another, the first few not counted."""
    measured = []
    async with Connection(LOOPBACK, port) as connection:
        for _ in range(WARM_UP_JOBS + jobs):
            await asyncio.sleep(random.uniform(0, LONGEST_PAUSE_S))
            measured.append(await one_job(connection))
    return measured[WARM_UP_JOBS:]


def report(measured: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Medians, in milliseconds. The overhead leaves out the stage that uploads, which also encodes the image."""
    overheads = sorted(job["total"] - job["publish"] for job in measured)
    return {
        "overhead_ms": milliseconds(median(overheads)),
        "overhead_p95_ms": milliseconds(overheads[int(len(overheads) * 0.95)]),
        "total_ms": milliseconds(median(job["total"] for job in measured)),
        "stages_ms": {
            name: milliseconds(median(job[name] for job in measured)) for name in measured[0] if name != "total"
        },
        "jobs": len(measured),
    }


def milliseconds(duration_s: float) -> float:
    """Rounded to what can be measured."""
    return round(duration_s * 1000, 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, instant_service(Path(name)) as stack:
        figures = report(asyncio.run(measure(stack.ports.api, options.jobs)))
    print(json.dumps(figures) if options.json else table(figures))


def table(figures: Mapping[str, Any]) -> str:
    """The figures, the stages indented below."""
    lines = [f"  {key:<26} {value}" for key, value in figures.items() if key != "stages_ms"]
    return "\n".join([*lines, *(f"    {key:<24} {value}" for key, value in figures["stages_ms"].items())])


if __name__ == "__main__":
    main()
