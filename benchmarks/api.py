"""Capacity of the API: jobs accepted a second, as a ratio, and many clients that poll.

The ratio is of jobs accepted a second over those of a Flask view that does ``apply_async`` and nothing else, both under
gunicorn with the same processes and threads, on the same Valkey, in turn. The client runs on the same machine and is
the same for both. No worker runs.

    python -m benchmarks.api --clients 1000 --jobs-per-s 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.accepting import measure_accepting
from benchmarks.instant_stack import say_on_stderr
from benchmarks.polling import Crowd
from benchmarks.processes import resident_mib
from stack.folder import StackFolder
from stack.local_stack import LocalStack
from stack.part import Part
from stack.ports import Ports
from stack.services import api_part
from stack.stop_request import StopRequest
from stack.supervisor import supervised
from tasks.celery import Application
from tasks.objects.storage_config import make_storage
from tasks.service import Service
from tasks.settings import PREFIX, Settings, settings
from tasks.valkey import connect


@dataclass(frozen=True)
class Apis:
    """The API and the bare one, running, and the service behind them."""

    service: Service
    api: int
    api_pid: int
    bare: int

    def forget(self) -> None:
        """Remove every job and message."""
        self.service.valkey.flushall()


@contextmanager
def apis(folder: StackFolder) -> Iterator[Apis]:
    """Valkey, S3 and both APIs on free ports.

    Raises:
        StackError: a part does not start.
    """
    stack, other = LocalStack(folder, Ports.free(), settings()), Ports.free()
    configuration = Settings.model_validate(stack.overrides)
    environment = {f"{PREFIX}{name.upper()}": value for name, value in stack.overrides.items()}
    with supervised(folder, StopRequest(), say_on_stderr) as supervisor:
        supervisor.start(stack.servers())
        make_storage(configuration).ensure_buckets()
        supervisor.start([api_part(stack.ports.api, environment), bare_part(other.api, environment)])
        api_pid = folder.process_file("api").read()
        assert api_pid is not None
        with connect(configuration.valkey_url):
            yield Apis(
                service=Application(configuration).service,
                api=stack.ports.api,
                api_pid=api_pid,
                bare=other.api,
            )


def bare_part(port: int, environment: Mapping[str, str]) -> Part:
    """The bare API, started as the API is."""
    like = api_part(port, environment)
    command = ["benchmarks.bare_api:create_app()" if word == "api:create_app()" else word for word in like.command]
    return replace(like, name="bare-api", command=tuple(command))


def measure(running: Apis, options: argparse.Namespace) -> dict[str, Any]:
    """First the rates, then the crowd, on one API."""
    accepting = asyncio.run(
        measure_accepting(running.api, running.bare, options.rounds, options.round_s, running.forget)
    )
    before = resident_mib(running.api_pid)
    crowd = Crowd(running.api, running.service.store)
    asyncio.run(crowd.run(options.clients, options.jobs_per_s, options.seconds))
    after = resident_mib(running.api_pid)
    met = crowd.met
    for failure in met.failures[:5]:
        print(failure, file=sys.stderr)
    return {
        "accepted_ratio": round(accepting.ratio, 3),
        "accepted_per_s": rounded_mean(accepting.jobs_per_s),
        "bare_per_s": rounded_mean(accepting.bare_per_s),
        "poll_p50_ms": met.percentile_ms(0.50),
        "poll_p99_ms": met.percentile_ms(0.99),
        "polls_per_s": round(len(met.plain_s) / options.seconds, 1),
        "long_polls_per_s": round(met.held / options.seconds, 1),
        "submitted_per_s": round(met.submitted / options.seconds, 1),
        "errors": accepting.errors + len(met.failures),
        "memory_before_mib": before,
        "memory_after_mib": after,
    }


def rounded_mean(rates: Sequence[float]) -> float:
    """The mean of some rates."""
    return round(sum(rates) / len(rates), 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of submitting to each API")
    parser.add_argument("--round-s", type=float, default=4, help="seconds of a round")
    parser.add_argument("--clients", type=int, default=1000, help="that poll")
    parser.add_argument("--jobs-per-s", type=float, default=20, help="submitted while they poll")
    parser.add_argument("--seconds", type=float, default=45, help="for which they poll")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, apis(StackFolder(Path(name))) as running:
        figures = measure(running, options)
    print(json.dumps(figures) if options.json else "\n".join(f"  {key:<18} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
