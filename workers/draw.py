"""Second stage of a job: swap its adapters in and run the pipeline. Holds the pipeline's lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image

from tasks.errors import DrawingFailed
from tasks.job import AdapterReceipt, BaseReceipt, JobSpec, Progress
from workers.adapter_parser import first_line
from workers.memory import is_out_of_memory, memory_errors
from workers.merge_engine import AdapterSet
from workers.schedulers import fresh_scheduler
from workers.stopwatch import Stage, Stopwatch
from workers.warm_pipeline import WarmPipeline

Report = Callable[[Progress], None]
"""Told of every step; may raise to stop the drawing."""


@dataclass(frozen=True)
class Picture:
    """A picture as drawn. ``flagged`` ones were blanked by the safety checker."""

    image: Image
    seed: int
    flagged: bool


@dataclass(frozen=True)
class Drawing:
    """The pictures of a job, what its adapters did to the weights, and to which weights."""

    pictures: tuple[Picture, ...]
    receipts: tuple[AdapterReceipt, ...]
    base: BaseReceipt


def draw(
    warm: WarmPipeline,
    spec: JobSpec,
    adapters: AdapterSet,
    *,
    report: Report,
    stopwatch: Stopwatch,
    give_up: Callable[[], None],
    first: bool,
    begin: Callable[[], None],
) -> Drawing:
    """Draw the pictures of a job, one after another, each from its own seed.

    Args:
        report: told of every step; what it raises ends the drawing.
        give_up: called while others draw; what it raises ends the wait.
        first: whether it goes before all that wait and do not.
        begin: called when its turn has come.

    Raises:
        WorkerStopping: by ``report``, on a worker that is told to end at once.
        AdapterLoadFailed: diffusers' own loader refuses an adapter; the base is pristine again.
        OutOfMemory: the device is too small for this job.
        DrawingFailed: the pipeline raised.
    """
    with warm.lock.turn(give_up, first=first):
        begin()
        with stopwatch.measure(Stage.SWAP), memory_errors():
            stopwatch.swap_way = warm.swap(adapters)
        engine, base = warm.base.engine, warm.receipt()
        with stopwatch.measure(Stage.DRAW), memory_errors():
            pictures = tuple(draw_one(warm, spec, number, report) for number in range(spec.image_count))
    return Drawing(pictures, tuple(engine.receipt(adapter) for adapter in adapters), base)


def draw_one(warm: WarmPipeline, spec: JobSpec, number: int, report: Report) -> Picture:
    """Draw the picture of this number.

    The noise comes from a generator on the CPU, so that one seed gives one picture on any device.

    Raises:
        DrawingFailed: as in ``draw``.
        RuntimeError, MemoryError: there was no memory left.
    """
    pipeline = warm.base.pipeline
    pipeline.scheduler = fresh_scheduler(warm.base.scheduler, spec.scheduler)
    seed = spec.seed + number

    def on_step_end(pipe: Any, step: int, _timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        steps = pipe.num_timesteps
        report(Progress(step=number * steps + step + 1, of=spec.image_count * steps))
        return kwargs

    try:
        output = pipeline(
            prompt=spec.prompt,
            negative_prompt=spec.negative_prompt,
            width=spec.width,
            height=spec.height,
            num_inference_steps=spec.steps,
            guidance_scale=spec.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
            callback_on_step_end=on_step_end,
        )
    except (RuntimeError, ValueError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        raise DrawingFailed(f"The pipeline could not draw this: {first_line(error)}") from error
    flagged = bool((getattr(output, "nsfw_content_detected", None) or [False])[0])
    return Picture(output.images[0], seed, flagged)
