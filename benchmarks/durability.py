"""Cost of having a job on disk before its 202: jobs recorded and confirmed a second, by 16 threads.

Each way has a Valkey of its own, in turn. Only the job store works: no HTTP, no adapters.

    python -m benchmarks.durability --seconds 5
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stack.folder import StackFolder
from stack.ports import Ports
from stack.stop_request import StopRequest
from stack.supervisor import supervised
from stack.valkey import valkey_part, valkey_url
from tasks.durability import Durability
from tasks.fields import ImageFormat
from tasks.jobs.job import JobOptions, JobSpec, Lane
from tasks.jobs.recorder import JobRecorder
from tasks.settings import AcceptedWhen
from tasks.valkey import Valkey, connect

THREADS = 16
WAYS = (("everysec", AcceptedWhen.RECORDED), ("everysec", AcceptedWhen.ON_DISK), ("always", AcceptedWhen.RECORDED))
"""Policies of Valkey for writing to disk, with the setting of the API."""
SPEC = JobSpec(
    base_model="demo",
    prompt="a red circle on a blue background",
    negative_prompt=None,
    adapters=(),
    width=64,
    height=64,
    steps=20,
    guidance_scale=3.0,
    scheduler=None,
    seed=1,
    image_count=1,
    image_format=ImageFormat.PNG,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durability", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each way")
    seconds = parser.parse_args(arguments).seconds
    with tempfile.TemporaryDirectory(prefix="stokehold-") as name:
        folder, port = StackFolder(Path(name)), Ports.free().valkey
        with supervised(folder, StopRequest(), lambda _: None) as supervisor:
            supervisor.start([valkey_part(folder.data("valkey"), port)])
            with connect(valkey_url(port)) as valkey:
                for fsync, when in WAYS:
                    valkey.config_set("appendfsync", fsync)
                    count, longest = measured(valkey, when, seconds)
                    told = (
                        f"appendfsync {fsync}, {when}: {count / seconds:.0f} jobs/s, longest {longest * 1000:.0f} ms\n"
                    )
                    sys.stdout.write(told)


def measured(valkey: Valkey, when: AcceptedWhen, seconds: float) -> tuple[int, float]:
    """Return how many jobs are accepted in so many seconds, and how long the slowest took."""
    recorder = JobRecorder(valkey, new_id=lambda: uuid.uuid4().hex)
    durability, end = Durability(valkey, when), time.monotonic() + seconds

    def accept(_: int) -> list[float]:
        took = []
        while (begin := time.monotonic()) < end:
            recorder.create_once(recorder.new_id(), SPEC, Lane.INTERACTIVE, JobOptions(), None)
            durability.confirm()
            took.append(time.monotonic() - begin)
        return took

    with ThreadPoolExecutor(THREADS) as pool:
        every = [one for took in pool.map(accept, range(THREADS)) for one in took]
    return len(every), max(every)


if __name__ == "__main__":
    main()
