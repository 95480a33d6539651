"""Cost of a swap, beside diffusers' own ways and beside a plain copy of the same weights, all in one run.

With ``--kinds``, instead, what a swap to each kind of change costs over that copy.

python -m benchmarks.swap --base sdxl-shaped --dtype bfloat16 --rank 16
python -m benchmarks.swap --kinds --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.kinds import ratios_of_kinds
from benchmarks.shapes import SHAPES, build, denoiser_of, write_lora
from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from workers.adapters.parser import parse_adapter
from workers.adapters.shell import LoaderShell
from workers.swap.engine import AdapterSet, MergeEngine, PreparedAdapter
from workers.swap.pristine import fingerprints


@dataclass
class Measurements:
    """Seconds by name, several of each."""

    device: torch.device
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, name: str, action: Callable[[], object]) -> None:
        """Note how long this takes on the device."""
        self.wait()
        start = time.perf_counter()
        action()
        self.wait()
        self.seconds.setdefault(name, []).append(time.perf_counter() - start)

    def wait(self) -> None:
        """Until the device has nothing left to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])


class Bench:
    """One pipeline and two LoRAs for it, swapped in every way."""

    def __init__(self, pipeline: Any, loras: tuple[Path, Path], device: torch.device, rank: int) -> None:
        self.pipeline = pipeline
        self.loras = loras
        self.rank = rank
        self.results = Measurements(device)
        self.results.measure("pristine", self.start_engine)
        self.shell = LoaderShell(pipeline)
        self.cached = tuple(self.parse(path) for path in loras)

    def start_engine(self) -> None:
        """As when a base model is loaded: with the pristine copies of its attention layers."""
        self.engine = MergeEngine(self.pipeline)

    def parse(self, path: Path) -> AdapterSet:
        """Read a LoRA's file."""
        adapter = ResolvedAdapter(
            ref=path.stem,
            source=AdapterSource.FOLDER,
            repository=path.stem,
            commit="0" * 64,
            weight_name=path.name,
            base_model="bench",
        )
        return (PreparedAdapter(adapter, 1.0, path, adapter.commit, parse_adapter(self.shell, path, path.stem)),)

    def ours(self, rounds: int) -> None:
        """Swap with the tensors in memory, with the file in the page cache, and back to nothing; copy; digest."""
        first, second = self.loras
        self.results.measure("first", lambda: self.engine.swap(self.cached[0]))
        for _ in range(rounds):
            self.results.measure("ours_cold", lambda: self.engine.swap(self.parse(second)))
            self.results.measure("restore", lambda: self.engine.swap(()))
            self.results.measure("ours_cold", lambda: self.engine.swap(self.parse(first)))
            self.results.measure("ours_cached", lambda: self.engine.swap(self.cached[1]))
            self.results.measure("ours_cached", lambda: self.engine.swap(self.cached[0]))
            self.results.measure("floor", self.copy)
        self.engine.swap(())
        self.results.measure("digest", lambda: fingerprints(self.engine.weights.values()))

    @torch.no_grad()
    def copy(self) -> None:
        """The floor: the touched weights, copied from their pristine copies."""
        for name in self.cached[0][0].parsed.changes:
            self.engine.weights[name].copy_(self.engine.pristine[name])

    def diffusers_cycle(self) -> None:
        """Do what the article does for every request: load, fuse, unfuse, unload."""
        name, _ = denoiser_of(self.pipeline)
        self.pipeline.load_lora_weights(self.loras[0].parent, weight_name=self.loras[0].name, adapter_name="lora")
        self.pipeline.fuse_lora(components=[name])
        self.pipeline.unfuse_lora(components=[name])
        self.pipeline.unload_lora_weights()

    def hotswaps(self, rounds: int) -> None:
        """diffusers' hotswap: new values into PEFT layers that stay where they are, beside the weights."""
        self.pipeline.enable_lora_hotswap(target_rank=self.rank)
        self.load("lora", hotswap=False)
        for _ in range(rounds):
            self.results.measure("hotswap", lambda: self.load("lora", hotswap=True))
        self.pipeline.unload_lora_weights()

    def load(self, name: str, *, hotswap: bool) -> None:
        path = self.loras[1]
        self.pipeline.load_lora_weights(path.parent, weight_name=path.name, adapter_name=name, hotswap=hotswap)


def report(results: Measurements) -> dict[str, float]:
    """Medians in seconds, and their ratios."""
    medians = {f"{name}_s": results.median(name) for name in results.seconds}
    return {
        **medians,
        "ratio_vs_diffusers": results.median("diffusers_cycle") / results.median("ours_cold"),
        "ratio_vs_floor": results.median("ours_cached") / results.median("floor"),
        "ratio_first_vs_later": results.median("first") / results.median("ours_cached"),
    }


def print_ratios(ratios: dict[str, float], *, as_json: bool) -> None:
    """One line for each kind, or one JSON object."""
    print(json.dumps(ratios) if as_json else "\n".join(f"  {kind:<16} {ratio:6.2f}" for kind, ratio in ratios.items()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swap", description=__doc__)
    parser.add_argument("--base", choices=list(SHAPES), default="sdxl-shaped")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--kinds", action="store_true", help="measure each kind of change over a copy")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    pipeline = build(options.base, getattr(torch, options.dtype), device)
    if options.kinds:
        print_ratios(ratios_of_kinds(pipeline, options.rank, options.rounds), as_json=options.json)
        return
    with tempfile.TemporaryDirectory() as folder:
        first, second = (
            write_lora(pipeline, Path(folder, f"{seed}.safetensors"), rank=options.rank, seed=seed) for seed in (1, 2)
        )
        bench = Bench(pipeline, (first, second), device, options.rank)
        bench.ours(options.rounds)
        for _ in range(options.rounds):
            bench.results.measure("diffusers_cycle", bench.diffusers_cycle)
        bench.hotswaps(options.rounds)
    figures = report(bench.results)
    if options.json:
        print(json.dumps(figures))
        return
    for name, seconds in bench.results.seconds.items():
        print(f"  {name:<16} median {statistics.median(seconds):8.4f} s   minimum {min(seconds):8.4f} s")
    for name in ("ratio_vs_diffusers", "ratio_vs_floor", "ratio_first_vs_later"):
        print(f"  {name:<24} {figures[name]:.2f}")


if __name__ == "__main__":
    main()
