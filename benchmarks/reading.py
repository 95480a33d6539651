"""The cost of reading an adapter in a process of its own, beside reading it in this one, and at the start.

python -m benchmarks.reading --base sdxl-shaped --rank 72
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.shapes import SHAPES, denoiser_of, write_lora
from workers.activity import Unfollowed
from workers.adapters.parser import parse_adapter
from workers.adapters.reader import AdapterReader, launch
from workers.adapters.shell import LoaderShell
from workers.swap.parsed_adapter import private_block


def seconds(action: Callable[[], object]) -> float:
    """Return how long this takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Print the figures as JSON, times in seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", choices=sorted(SHAPES), default="sdxl-shaped")
    parser.add_argument("--rank", type=int, default=72)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = SHAPES[arguments.base]()
    denoiser_of(pipeline)[1].to(torch.float16)
    shell = LoaderShell(pipeline)
    with tempfile.TemporaryDirectory() as folder:
        path = write_lora(pipeline, Path(folder) / "lora.safetensors", rank=arguments.rank, seed=0)
        started = time.perf_counter()
        reader = AdapterReader(shell, parse_s=600, allocate=private_block, server=launch())
        reader.read(path, "first", Unfollowed())
        first = time.perf_counter() - started
        inside, outside = [], []
        for _ in range(arguments.rounds):
            inside.append(seconds(lambda: parse_adapter(shell, path, "inside")))
            outside.append(seconds(lambda: reader.read(path, "outside", Unfollowed())))
        reader.stop()
        figures = {
            "file_bytes": path.stat().st_size,
            "in_process": statistics.median(inside),
            "out_of_process": statistics.median(outside),
            "ratio": statistics.median(outside) / statistics.median(inside),
            "start_and_first_file": first,
        }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
