"""Additional wait of an interactive job under a full backfill, in units of one drawing.

Interactive jobs come one at a time, each after a pause of random length. First the service is idle; then a batch keeps
the worker busy, and each job finds a line being drawn and further ones claimed.

    python -m benchmarks.lanes --jobs 100
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from benchmarks.batch_service import copies, running, send
from tasks.api_client import ApiClient, Record
from tasks.backfill.progress import read_batch

REQUEST = {"prompt": "a red circle on a blue background", "steps": 10}
ADAPTERS = 4
LINES = 100_000
WARM_UP_JOBS = 3
STAGES = ("adapter", "swap", "draw", "publish")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lanes", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="stokehold-lanes-") as name:
        figures = measure(Path(name), options.jobs)
    print(json.dumps(figures) if options.json else "\n".join(f"  {key:<22} {value}" for key, value in figures.items()))


def measure(folder: Path, jobs: int) -> dict[str, float]:
    """Interactive jobs on an idle service, and the same under a full backfill."""
    names = copies(folder / "loras", ADAPTERS)
    with running(folder) as service:
        idle = interactive(service.client, WARM_UP_JOBS + jobs // 2)[WARM_UP_JOBS:]
        batch = send(service, [line(number, names) for number in range(LINES)], dry_run=False)
        while not read_batch(service.client, batch.id).counts.succeeded:
            time.sleep(0.5)
        before = read_batch(service.client, batch.id).counts.succeeded
        loaded = interactive(service.client, jobs)
        drawn = read_batch(service.client, batch.id).counts.succeeded - before
    drawing = statistics.median(record["timings"]["draw"] for record in idle)
    usual = statistics.median(map(waited, idle))
    added = sorted((waited(record) - usual) / drawing for record in loaded)
    return {
        "added_wait_median": round(statistics.median(added), 3),
        "added_wait_p99": round(added[int(len(added) * 0.99)], 3),
        "added_wait_max": round(added[-1], 3),
        "drawing_s": round(drawing, 3),
        "drawing_loaded_s": round(statistics.median(record["timings"]["draw"] for record in loaded), 3),
        "jobs": len(loaded),
        "backfill_drawn_meanwhile": drawn,
    }


def line(number: int, names: Sequence[str]) -> dict[str, object]:
    """A line of the backfill: as large as the interactive jobs."""
    return {"custom_id": str(number), "adapters": [{"ref": names[number % len(names)]}], "seed": number, **REQUEST}


def interactive(client: ApiClient, count: int) -> list[Record]:
    """Jobs one after another."""
    records = []
    for seed in range(count):
        time.sleep(random.uniform(0, 1))
        job_id = client.submit_job({**REQUEST, "seed": seed})
        records.append(client.finished_job(job_id, lambda: None))
        assert records[-1]["status"] == "succeeded", records[-1]["error"]
    return records


def waited(record: Record) -> float:
    """Return the seconds from accepted to finished in which no worker worked on the job."""
    created, finished = (datetime.fromisoformat(record[name]).timestamp() for name in ("created_at", "finished_at"))
    return finished - created - sum(float(record["timings"][stage]) for stage in STAGES)


if __name__ == "__main__":
    main()
