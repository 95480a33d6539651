"""Second stage of a job: swap its adapters in and run the pipeline. On the thread that uses the device."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL.Image import Image

from tasks.errors import BaseReplaced, DrawingFailed, DrawingFault
from tasks.jobs.job import JobSpec, Progress
from tasks.jobs.result import AdapterReceipt, BaseReceipt
from workers.base.device_thread import on_one_core
from workers.base.pipeline import show_text_model
from workers.base.schedulers import fresh_scheduler
from workers.stages.faults import drawing_errors
from workers.stages.stopwatch import Stage, Stopwatch
from workers.swap.engine import AdapterSet
from workers.swap.warm_pipeline import LoadedBase, WarmPipeline


class Watcher(Protocol):
    """Follows a drawing, which ends with any exception that it raises."""

    def check_needed(self) -> None:
        """Called repeatedly while others draw."""

    def note_waiting(self, waits: bool) -> None:
        """Called when the drawing begins, is interrupted by others, and goes on."""

    def note_drawing(self) -> None:
        """Called when the adapters are merged."""

    def report(self, progress: Progress) -> None:
        """Called at every step."""


@dataclass(frozen=True)
class DrawnImage:
    """An image as drawn. ``flagged`` ones were blanked by the safety checker."""

    image: Image
    seed: int
    flagged: bool


@dataclass(frozen=True)
class Drawing:
    """The images of a job, and the adapters and base that they were drawn with.

    Attributes:
        receipts: effects of its adapters on the weights.
        adapter_files: SHA-256 of each adapter's file, as it was merged.
        base: the weights below the adapters.
        batch_size: number of images that one pass of the pipeline drew.
    """

    images: tuple[DrawnImage, ...]
    receipts: tuple[AdapterReceipt, ...]
    adapter_files: tuple[str, ...]
    base: BaseReceipt
    batch_size: int


def draw(
    warm: WarmPipeline,
    specs: Sequence[JobSpec],
    adapters: AdapterSet,
    watcher: Watcher,
    stopwatch: Stopwatch,
    *,
    first: bool,
) -> list[Drawing]:
    """Draw the images of some jobs: one image of each in a pass, each from its own seed.

    Args:
        specs: of one job; or of several that differ in nothing but prompts and seeds.
        first: draw with priority, even before a drawing that has begun, which continues later.

    Raises:
        WorkerStopping: by the watcher, on a worker that shuts down immediately.
        BaseReplaced: the base was loaded again while others went first.
        AdapterLoadFailed: a merged weight is too large to be a number; the base is pristine again.
        OutOfMemory: the device is too small for this.
        DrawingFailed: the pipeline refuses the request.
        MachineFault: the device failed, or the pipeline raised an error that the request does not explain.
    """

    def turn() -> tuple[list[list[DrawnImage]], LoadedBase, BaseReceipt]:
        watcher.note_waiting(False)
        with stopwatch.measure(Stage.SWAP), drawing_errors():
            stopwatch.swap_way = warm.swap(adapters)
        watcher.note_drawing()
        base, base_receipt = warm.base, warm.receipt()
        session = Session(warm, base, adapters, watcher, stopwatch, first)
        with stopwatch.measure(Stage.DRAW), drawing_errors():
            passes = [session.draw_one_of_each(specs, number) for number in range(specs[0].image_count)]
        return passes, base, base_receipt

    passes, base, base_receipt = warm.device_thread.run(turn, watcher.check_needed, first=first)
    with on_one_core():
        receipts = tuple(base.engine.receipt(adapter) for adapter in adapters)
    files = tuple(adapter.sha256 for adapter in adapters)
    return [Drawing(images, receipts, files, base_receipt, len(specs)) for images in zip(*passes, strict=True)]


def pipeline_arguments(specs: Sequence[JobSpec]) -> dict[str, Any]:
    """Return the pipeline's arguments: the prompts of each job, and the settings of the first one, which all share."""
    spec = specs[0]
    skipping = {} if spec.clip_skip is None else {"clip_skip": spec.clip_skip}  # which not every pipeline takes
    return {
        "prompt": [spec.prompt for spec in specs],
        "negative_prompt": None if spec.negative_prompt is None else [spec.negative_prompt for spec in specs],
        "width": spec.width,
        "height": spec.height,
        "num_inference_steps": spec.steps,
        "guidance_scale": spec.guidance_scale,
        **skipping,
    }


@dataclass(frozen=True)
class Session:
    """A turn at the pipeline, with the adapters merged."""

    warm: WarmPipeline
    base: LoadedBase
    adapters: AdapterSet
    watcher: Watcher
    stopwatch: Stopwatch
    first: bool

    def draw_one_of_each(self, specs: Sequence[JobSpec], number: int) -> list[DrawnImage]:
        """Draw the image of this number of each job, in one pass.

        The noise comes from a generator on the CPU, so that one seed gives one image on any device.

        Raises:
            BaseReplaced: as in ``draw``.
            DrawingFailed, DrawingFault: its values are not numbers.
            Exception: raised by the pipeline.
        """
        spec, seeds = specs[0], [spec.seed + number for spec in specs]
        pipeline = copy.copy(self.base.pipeline)  # a run leaves state on it, and another may go first meanwhile
        pipeline.scheduler = fresh_scheduler(self.base.scheduler, spec.scheduler)
        if spec.clip_skip is not None:
            show_text_model(pipeline)

        def on_step_end(pipe: Any, step: int, _timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
            steps = pipe.num_timesteps
            if step + 1 == steps:
                self.refuse_overflow(kwargs["latents"])
            self.watcher.report(Progress(step=number * steps + step + 1, of=spec.image_count * steps))
            self.let_others_go_first()
            return kwargs

        output = pipeline(
            **pipeline_arguments(specs),
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            callback_on_step_end=on_step_end,
        )
        flags = getattr(output, "nsfw_content_detected", None) or [False] * len(specs)
        return [
            DrawnImage(image, seed, bool(flagged))
            for image, seed, flagged in zip(output.images, seeds, flags, strict=True)
        ]

    def refuse_overflow(self, latents: torch.Tensor) -> None:
        """Refuse to decode values that are not numbers: they would become a black image.

        Raises:
            DrawingFailed: the adapters are too strong.
            DrawingFault: there are none.
        """
        if latents.isfinite().all():
            return
        strengths = ", ".join(f"{prepared.adapter.ref!r} at {prepared.scale:g}" for prepared in self.adapters)
        if not strengths:
            raise DrawingFault("The drawing overflowed to values that are not numbers. Submit the job again.")
        raise DrawingFailed(
            f"The drawing overflowed to values that are not numbers, with {strengths}. Lower the scale, or use "
            "another adapter."
        )

    def let_others_go_first(self) -> None:
        """Lend the pipeline, between two steps, to jobs with priority, and then merge again.

        The swap is exact, so the drawing continues unchanged.

        Raises:
            BaseReplaced: as in ``draw``.
        """
        if self.first or not self.warm.device_thread.is_wanted:
            return
        self.watcher.note_waiting(True)
        with self.stopwatch.pause():
            self.warm.device_thread.let_first_go()
        self.watcher.check_needed()
        self.watcher.note_waiting(False)
        self.refuse_another_base()
        self.warm.swap(self.adapters)
        self.refuse_another_base()
        self.watcher.note_drawing()

    def refuse_another_base(self) -> None:
        """Refuse to continue with other weights than those that the drawing began with.

        Raises:
            BaseReplaced: as in ``draw``.
        """
        if self.warm.base is not self.base:
            raise BaseReplaced("The base model was loaded again while this drawing was interrupted.")
