"""Prove the whole service on this machine: one job for each local adapter and one without: ``scripts/smoke``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from stack.errors import StackError
from stack.folder import StackFolder
from stack.local_stack import LocalStack, running
from stack.ports import Ports
from stack.stop_request import StopRequest
from stack.supervisor import say_now
from storage import StorageError
from tasks.api_client import ApiClient, Record
from tasks.errors import StokeholdError
from tasks.settings import settings

PROMPT = "a red circle on a blue background"
SEED = 7
WITHOUT = "none"
"""Name of the job without an adapter, in the table and for its image."""

STAGES = ("queued", "adapter", "swap", "draw", "publish")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job."""

    name: str
    record: Record
    image: bytes | None

    @property
    def file_name(self) -> str:
        """Return the name for its image: the adapter, and the suffix that the image has in storage."""
        return self.name + PurePosixPath(urlsplit(self.record["images"][0]["url"]).path).suffix

    @property
    def error(self) -> str | None:
        """Return why there is no image, if there is none."""
        error = self.record["error"]
        return None if error is None else f"{self.name}: {error['message']} ({error['code']})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stack on free ports with its data in a temporary folder, draw, and print how long each stage took.

    Raises:
        SystemExit: a part did not start or died, or a job failed; the message says which and why.
    """
    parser = argparse.ArgumentParser(prog="stokehold smoke", description="Generate one image with each folder adapter.")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the images")
    out: Path = parser.parse_args(arguments).out
    begin = time.monotonic()
    stop = StopRequest()
    stop.heed_signals()
    try:
        outcomes = run(stop)
    except (StackError, StokeholdError, StorageError) as error:
        sys.exit(f"stokehold: {error}")
    save(outcomes, out)
    say_now(f"\n{table(outcomes)}\n\nImages: {out}/    {time.monotonic() - begin:.1f} s in all")
    if failures := [outcome.error for outcome in outcomes if outcome.error]:
        sys.exit("\n".join(("stokehold: jobs failed:", *failures)))


def run(stop: StopRequest) -> list[Outcome]:
    """Start the stack, draw everything, and stop it again.

    Raises:
        StackError, StokeholdError, StorageError: a part did not start, or died.
    """
    with tempfile.TemporaryDirectory(prefix="stokehold-") as folder:
        stack = LocalStack(StackFolder(Path(folder)), Ports.free(), settings())
        say_now("Starting:")
        with running(stack, stop) as supervisor, ApiClient(stack.api, stack.given.api_key) as client:
            return draw_all(client, supervisor.check)


def draw_all(client: ApiClient, meanwhile: Callable[[], None]) -> list[Outcome]:
    """Submit every job at once, then wait for each and fetch its image."""
    requests: dict[str, Record] = {WITHOUT: {"prompt": PROMPT, "seed": SEED}}
    for adapter in client.get("/v1/adapters").record["adapters"]:
        prompt = ", ".join((*adapter["trigger_words"], PROMPT))
        requests[adapter["name"]] = {"prompt": prompt, "seed": SEED, "adapters": [{"ref": adapter["name"]}]}
    jobs = {name: client.submit_job(request) for name, request in requests.items()}
    return [outcome_of(client, name, client.finished_job(job_id, meanwhile)) for name, job_id in jobs.items()]


def outcome_of(client: ApiClient, name: str, record: Record) -> Outcome:
    """Return the outcome of a job that has ended, with its image."""
    urls = [image["url"] for image in record["images"] if image["url"]]
    return Outcome(name, record, client.get(urls[0]).require_success().body if urls else None)


def save(outcomes: Iterable[Outcome], out: Path) -> None:
    """Write every image to ``out``, named for its adapter."""
    out.mkdir(parents=True, exist_ok=True)
    for outcome in outcomes:
        if outcome.image is not None:
            (out / outcome.file_name).write_bytes(outcome.image)


def table(outcomes: Iterable[Outcome]) -> str:
    """Return the seconds that each stage of each job took, from the jobs' records."""
    lines = [row("adapter", "status", STAGES)]
    for outcome in outcomes:
        timings = outcome.record["timings"]
        lines.append(row(outcome.name, outcome.record["status"], [seconds(timings[stage]) for stage in STAGES]))
    return "\n".join(lines)


def row(name: str, status: str, cells: Iterable[str]) -> str:
    """A line of the table."""
    return f"  {name:<20} {status:<10}" + "".join(f"{cell:>9}" for cell in cells)


def seconds(value: float | None) -> str:
    """A time, or a dash where a stage was not reached."""
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
