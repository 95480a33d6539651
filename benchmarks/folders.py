"""Cost of a folder of large adapters: when the API is ready, how long lists take, and what a new file delays.

The API starts in turn on an empty folder and on one of sparse files, which take no space on the disk. Then it lists
them while their headers are new and again. At last a file of 4 GiB comes, a job names it, and other requests are timed
beside this one. No worker runs.

    python -m benchmarks.folders --files 2000 --mib 200
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.instant_stack import say_on_stderr
from stack.folder import StackFolder
from stack.local_stack import LocalStack
from stack.ports import Ports
from stack.services import api_part
from stack.stop_request import StopRequest
from stack.supervisor import supervised
from tasks.api_client import ApiClient
from tasks.objects.storage_config import make_storage
from tasks.settings import PREFIX, Settings, settings
from tests.support.safetensors_files import write_sparse_lora

HUGE_MIB = 4096
ROUNDS = 3
REQUESTS = 40
FOR_DEMO = {"stokehold.base_model": "demo"}


@dataclass(frozen=True)
class ApiStarts:
    """Starts an API of its own for each folder, beside one Valkey and one S3."""

    folder: StackFolder
    port: int
    environment: Mapping[str, str]

    @contextmanager
    def on(self, adapters: Path) -> Iterator[tuple[ApiClient, float]]:
        """A client of an API that serves this folder, and the seconds until it was ready."""
        environment = {**self.environment, f"{PREFIX}ADAPTER_FOLDERS": str(adapters)}
        with supervised(self.folder, StopRequest(), say_on_stderr) as supervisor:
            begin = time.perf_counter()
            supervisor.start([api_part(self.port, environment)])
            seconds = time.perf_counter() - begin
            with ApiClient(f"http://127.0.0.1:{self.port}", None) as client:
                yield client, seconds


@contextmanager
def api_starts(root: Path) -> Iterator[ApiStarts]:
    """Valkey and S3 on free ports, and what an API beside them needs.

    Raises:
        StackError: a part does not start.
    """
    servers, apis = StackFolder(root / "servers"), StackFolder(root / "api")
    stack = LocalStack(servers, Ports.free(), settings())
    environment = {f"{PREFIX}{name.upper()}": value for name, value in stack.overrides.items()}
    with supervised(servers, StopRequest(), say_on_stderr) as supervisor:
        supervisor.start(stack.servers())
        make_storage(Settings.model_validate(stack.overrides)).ensure_buckets()
        yield ApiStarts(apis, stack.ports.api, environment)


def timed(client: ApiClient, method: str, path: str, body: Any = None) -> float:
    """Return the seconds that a request takes.

    Raises:
        ApiError: it is refused.
    """
    begin = time.perf_counter()
    client.get(path) if method == "GET" else client.post(path, body)
    return time.perf_counter() - begin


def readiness(starts: ApiStarts, empty: Path, full: Path) -> dict[str, float]:
    """Return when the API is ready on each folder: the medians of some starts in turn."""
    seconds: dict[Path, list[float]] = {empty: [], full: []}
    for _ in range(ROUNDS):
        for folder, found in seconds.items():
            with starts.on(folder) as (_client, ready_s):
                found.append(ready_s)
    without, with_files = median(seconds[empty]), median(seconds[full])
    return {
        "ready_without_s": round(without, 2),
        "ready_with_s": round(with_files, 2),
        "ratio": round(with_files / without, 2),
    }


def lists(client: ApiClient, files: int) -> dict[str, float]:
    """Return how long lists take while files are new, how many they need, and how long one takes then."""
    new = [timed(client, "GET", "/v1/adapters?limit=500")]
    while client.get(f"/v1/adapters?q=style-{files - 1:05}").record["left_out"]:
        new.append(timed(client, "GET", "/v1/adapters?limit=500"))
    known = [timed(client, "GET", "/v1/adapters?limit=500") for _ in range(10)]
    return {
        "list_first_s": round(new[0], 3),
        "lists_until_all_are_read": 2 * len(new),
        "list_later_s": round(median(known), 3),
    }


def job(ref: str) -> dict[str, Any]:
    """Return a request that names an adapter."""
    return {"prompt": "a red circle", "adapters": [{"ref": ref}]}


def beside_a_huge_file(client: ApiClient, folder: Path) -> dict[str, float]:
    """Return the slowest of other requests before and while jobs name a file of 4 GiB that is new."""

    def others() -> list[float]:
        return [timed(client, "POST", "/v1/jobs", job("style-00000")) for _ in range(REQUESTS)]

    before = others()
    write_sparse_lora(folder, "huge", size_bytes=HUGE_MIB << 20, metadata=FOR_DEMO)
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(timed, client, "POST", "/v1/jobs", job("huge"))
        beside = threads.submit(others).result()
    return {
        "huge_first_job_s": round(first.result(), 3),
        "other_jobs_before_max_s": round(max(before), 3),
        "other_jobs_beside_max_s": round(max(beside), 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as JSON.

    Raises:
        StackError: a part does not start.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.folders", description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--mib", type=int, default=200)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        empty, full = root / "empty", root / "full"
        empty.mkdir()
        full.mkdir()
        for number in range(options.files):
            write_sparse_lora(full, f"style-{number:05}", size_bytes=options.mib << 20, metadata=FOR_DEMO)
        with api_starts(root) as starts:
            figures = readiness(starts, empty, full)
            with starts.on(full) as (client, _):
                figures |= lists(client, options.files) | beside_a_huge_file(client, full)
    json.dump({"files": options.files, "mib": options.mib, **figures}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
