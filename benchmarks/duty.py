"""Duty of the device under the whole service: jobs a second over images a second of a bare loop, in one run.

Every job wants another LoRA than the one before; the bare loop calls the same pipeline with none.

    python -m benchmarks.duty --adapters 20 --jobs 40
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.shapes import write_lora
from stack.ports import Ports
from tasks.api_client import ApiClient, Record
from tasks.base_models.registry import read_base_models
from tasks.jobs.result import SwapWay
from tasks.settings import Device, settings
from workers.base.device import choose_device
from workers.base.pipeline import load_pipeline

MODELS = """
[[base]]
slug = "demo"
model = "demo/base"
dtype = "float32"
defaults = {{ width = 128, height = 128, steps = {steps}, guidance_scale = 3.0 }}
limits = {{ min_side = 32, max_side = 128, multiple_of = 16, max_steps = 1000 }}
"""
ROUNDS = 4
PROMPT = "a red circle on a blue background"


def bare_loop(pipeline: Any, steps: int, images: int) -> float:
    """Seconds that an image takes when nothing else happens."""
    start = time.perf_counter()
    for seed in range(images):
        generator = torch.Generator("cpu").manual_seed(seed)
        pipeline(PROMPT, width=128, height=128, num_inference_steps=steps, guidance_scale=3.0, generator=generator)
    return (time.perf_counter() - start) / images


def steps_for(pipeline: Any, seconds: float) -> int:
    """Return how many steps make an image take about so long."""
    bare_loop(pipeline, steps=5, images=1)
    return max(1, round(seconds / (bare_loop(pipeline, steps=20, images=1) / 20)))


@contextmanager
def service(folder: Path, models: Path, loras: Path) -> Iterator[ApiClient]:
    """The whole service with these base models and adapters, on free ports."""
    ports = Ports.free()
    environment = {"STOKEHOLD_MODELS_FILE": str(models), "STOKEHOLD_ADAPTER_FOLDERS": str(loras)}
    command = [sys.executable, "-m", "stack.up", "--port", str(ports.api), "--folder", str(folder / "var")]
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout is not None
            if not any("Ready:" in line for line in up.stdout):
                sys.exit("The service did not start; its own message is above.")
            with ApiClient(f"http://127.0.0.1:{ports.api}", settings().api_key) as client:
                yield client
        finally:
            up.send_signal(signal.SIGINT)
            up.communicate()


def serve(client: ApiClient, adapters: Sequence[str]) -> list[Record]:
    """Submit a job for each of these adapters at once, and wait for the last."""
    requests = [{"prompt": PROMPT, "seed": seed, "adapters": [{"ref": name}]} for seed, name in enumerate(adapters)]
    ids = [client.submit_job(request) for request in requests]
    return [client.finished_job(job_id, lambda: None) for job_id in ids]


def seconds_per_job(records: Sequence[Record]) -> float:
    """From the first job's start to the last one's end, divided among them."""
    start = min(datetime.fromisoformat(record["started_at"]) for record in records)
    end = max(datetime.fromisoformat(record["finished_at"]) for record in records)
    return (end - start).total_seconds() / len(records)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.duty", description=__doc__)
    parser.add_argument("--adapters", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1.5, help="that an image should take")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        figures = measure(Path(name), options)
    print(json.dumps(figures) if options.json else "\n".join(f"  {key:<18} {value}" for key, value in figures.items()))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """The bare loop and the service in turn, so that a machine whose speed changes meanwhile deceives neither way."""
    models, loras = folder / "models.toml", folder / "loras"
    loras.mkdir()
    models.write_text(MODELS.format(steps=1), "utf-8")
    pipeline = load_pipeline(read_base_models(models).default, choose_device(Device.AUTO))
    names = [f"lora{number}" for number in range(options.adapters)]
    for number, name in enumerate(names):
        path = write_lora(pipeline, loras / f"{name}.safetensors", rank=16, seed=number)
        path.with_suffix(".toml").write_text('base_model = "demo"\n', "utf-8")
    steps = steps_for(pipeline, options.seconds)
    models.write_text(MODELS.format(steps=steps), "utf-8")
    bare, served = list[float](), list[float]()
    records = list[Record]()
    with service(folder, models, loras) as client:
        serve(client, names[-1:])  # so that the worker has drawn once, as the loop has
        wanted = itertools.cycle(names)
        for _ in range(ROUNDS):
            bare.append(bare_loop(pipeline, steps, images=options.jobs // ROUNDS))
            part = serve(client, list(itertools.islice(wanted, options.jobs // ROUNDS)))
            served.append(seconds_per_job(part))
            records += part
    return {
        "ratio": round(sum(bare) / sum(served), 4),
        "ratio_lowest": round(min(loop / job for loop, job in zip(bare, served, strict=True)), 4),
        "ratio_highest": round(max(loop / job for loop, job in zip(bare, served, strict=True)), 4),
        "adapters": len({adapter["ref"] for record in records for adapter in record["adapters"]}),
        "jobs": sum(record["status"] == "succeeded" for record in records),
        "swaps": sum(record["timings"]["swap_way"] == SwapWay.MERGED for record in records),
        "bare_s": round(sum(bare) / ROUNDS, 4),
        "served_s": round(sum(served) / ROUNDS, 4),
        "steps": steps,
    }


if __name__ == "__main__":
    main()
