"""Throughput of drawing several lines of a backfill in one pass on this machine, and the best ``max_batch``.

python -m benchmarks.microbatch --base demo
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from tasks.base_models.registry import ServedModel, read_base_models
from tasks.fields import ImageFormat
from tasks.jobs.job import JobSpec, Progress
from tasks.settings import settings
from workers.base.device import choose_device
from workers.base.pipeline import load_pipeline
from workers.stages.draw import Drawing, draw
from workers.stages.stopwatch import Stopwatch
from workers.swap.warm_pipeline import WarmPipeline

PROMPT = "a red circle on a blue background"
NOTICEABLE = 1.05
"""Ratio of throughput that is worth a larger batch."""


@dataclass
class Pass:
    """One pass of the pipeline, watched.

    Attributes:
        moments: when it began, when each step ended, and when it was over.
    """

    moments: list[float] = field(default_factory=lambda: [time.perf_counter()])

    def check_needed(self) -> None:
        """Do nothing: no other job draws."""

    def note_waiting(self, waits: bool) -> None:
        """Do nothing: no other job draws."""

    def note_drawing(self) -> None:
        """It draws."""

    def report(self, _: Progress) -> None:
        """Note the moment: here an interactive job would go first."""
        self.moments.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """From its beginning to its end."""
        return self.moments[-1] - self.moments[0]

    @property
    def longest_stretch(self) -> float:
        """Seconds for which an interactive job that comes at the worst moment waits."""
        return max(later - earlier for earlier, later in itertools.pairwise(self.moments))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.microbatch", description=__doc__)
    parser.add_argument("--base", metavar="SLUG", help="base model, as models.toml names it; unset: its first")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8], help="images a pass; the first is 1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    models = read_base_models(settings().models_file)
    model = models.named(options.base) if options.base else models.default
    rows = measure(model, options.sizes, options.rounds)
    advice = advised(rows)
    if options.json:
        print(json.dumps({"base": model.slug, "sizes": rows, "max_batch": advice}))
        return
    print("".join(f"{name:>18}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value:>18}" for value in row.values()))
    print(f"Set max_batch = {advice} for {model.slug} on this machine.")


def measure(model: ServedModel, sizes: Sequence[int], rounds: int) -> list[dict[str, float]]:
    """Return what each size gives, the sizes in turn in each round."""
    device = choose_device(settings().device)
    warm = WarmPipeline(partial(load_pipeline, model, device), pristine_device=None, check_every=1)
    specs = [spec(model, seed) for seed in range(max(sizes))]
    alone = [one(warm, [spec])[0][0] for spec in specs]
    passes: dict[int, list[Pass]] = {size: [] for size in sizes}
    images: dict[int, list[Drawing]] = {}
    for _ in range(rounds):
        for size in sizes:
            drawings, watched = one(warm, specs[:size])
            passes[size].append(watched)
            images[size] = drawings
    single = statistics.median(watched.seconds for watched in passes[sizes[0]])
    return [row(size, passes[size], single, alone, images[size]) for size in sizes]


def spec(model: ServedModel, seed: int) -> JobSpec:
    """A line with the model's defaults."""
    return JobSpec(
        base_model=model.slug,
        prompt=PROMPT,
        negative_prompt=None,
        adapters=(),
        **model.defaults.model_dump(),
        scheduler=None,
        seed=seed,
        image_count=1,
        image_format=ImageFormat.PNG,
    )


def one(warm: WarmPipeline, specs: Sequence[JobSpec]) -> tuple[list[Drawing], Pass]:
    """Draw these in one pass."""
    watched = Pass()
    drawings = draw(warm, specs, (), watched, Stopwatch(), first=False)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    watched.moments.append(time.perf_counter())
    return drawings, watched


def row(
    size: int, passes: Sequence[Pass], single: float, alone: Sequence[Drawing], together: Sequence[Drawing]
) -> dict[str, float]:
    """The figures of one size."""
    seconds = statistics.median(watched.seconds for watched in passes)
    stretch = statistics.median(watched.longest_stretch for watched in passes)
    differences = [np.abs(pixels(first) - pixels(second)) for first, second in zip(alone, together, strict=False)]
    return {
        "max_batch": size,
        "images_per_s": round(size / seconds, 3),
        "throughput_ratio": round(size * single / seconds, 3),
        "latency_ratio": round(seconds / single, 3),
        "longest_wait_ratio": round(stretch / single, 3),
        "largest_pixel_difference": int(max(difference.max() for difference in differences)),
        "differing_pixels": round(float(np.mean([(difference > 0).mean() for difference in differences])), 6),
    }


def pixels(drawing: Drawing) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """The image's values, 0 to 255."""
    return np.asarray(drawing.images[0].image, dtype=np.int16)


def advised(rows: Sequence[dict[str, float]]) -> int:
    """The smallest size with nearly the best throughput, of those that keep no job waiting longer than a drawing."""
    allowed = [row for row in rows if row["longest_wait_ratio"] <= 1 or row["max_batch"] == 1]
    best = max(row["throughput_ratio"] for row in allowed)
    return int(next(row["max_batch"] for row in allowed if row["throughput_ratio"] * NOTICEABLE >= best))


if __name__ == "__main__":
    main()
