"""Evaluation of the base on unseen prompts, and of the look of each LoRA."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image as Pillow
from tqdm import tqdm

from demo.classifier import read
from demo.effects import EFFECTS
from demo.prompts import Example, draw_example
from demo.train_loras import RECIPES, LoraRecipe

FOLDER = Path(__file__).parent
BATCH = 8
EFFECT_TARGET = 0.90
TARGETS = {"shape": 0.85, "colour": 0.90, "background": 0.90}


@dataclass(frozen=True)
class Settings:
    """Settings for drawing images."""

    steps: int
    guidance: float
    first_seed: int = 555_000


@dataclass(frozen=True)
class BaseResult:
    """Shares of held-out prompts whose picture was read as asked, and the seconds that an image took."""

    prompts: int
    shape: float
    colour: float
    background: float
    all_three: float
    seconds_per_image: float

    @property
    def passed(self) -> bool:
        """Return whether all targets are reached."""
        return all(getattr(self, aspect) >= target for aspect, target in TARGETS.items())


@dataclass(frozen=True)
class EffectResult:
    """A LoRA's measure over the same prompts and seeds with it and without.

    Attributes:
        shown: share of the pictures with the LoRA that show its look.
        absent: share of the pictures without it that do not.
    """

    name: str
    median_with: float
    threshold: float
    median_without: float
    shown: float
    absent: float

    @property
    def passed(self) -> bool:
        """Return whether both shares reach the target."""
        return min(self.shown, self.absent) >= EFFECT_TARGET


def load_base() -> StableDiffusionPipeline:
    """The demo's base model in single precision."""
    pipeline = StableDiffusionPipeline.from_pretrained(FOLDER / "base", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: StableDiffusionPipeline, prompts: Sequence[str], settings: Settings) -> list[Pillow.Image]:
    """One picture for each prompt; the seeds count up from the first."""
    images: list[Pillow.Image] = []
    for start in tqdm(range(0, len(prompts), BATCH), leave=False):
        part = list(prompts[start : start + BATCH])
        seeds = range(settings.first_seed + start, settings.first_seed + start + len(part))
        images += pipeline(
            part,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        ).images
    return images


def evaluate_base(pipeline: StableDiffusionPipeline, count: int, settings: Settings) -> BaseResult:
    """Draw held-out combinations of shape, colour and background and read the pictures back."""
    random = np.random.default_rng(0)
    examples = [draw_example(random, held_out=True, pair=False) for _ in range(count)]
    start = perf_counter()
    images = draw(pipeline, [example.prompt for example in examples], settings)
    seconds = (perf_counter() - start) / count
    right = np.array([compare(example, image) for example, image in zip(examples, images, strict=True)])
    shape, colour, background = (float(share) for share in right.mean(axis=0))
    return BaseResult(count, shape, colour, background, float(right.all(axis=1).mean()), seconds)


def compare(example: Example, image: Pillow.Image) -> tuple[bool, bool, bool]:
    """Return whether the image has the shape, the colour and the background of an example of one figure."""
    (wanted,), reading = example.scene.figures, read(image)
    if len(reading.figures) != 1:
        return False, False, reading.background == example.scene.background
    (seen,) = reading.figures
    return (
        seen.shape == wanted.shape,
        seen.colour == wanted.colour,
        reading.background == example.scene.background,
    )


def evaluate_lora(
    pipeline: StableDiffusionPipeline, recipe: LoraRecipe, prompts: Sequence[str], settings: Settings
) -> EffectResult:
    """Measure a LoRA's effect over the same prompts and seeds with it and without."""
    effect = EFFECTS[recipe.name]
    plain = [effect.measure(image) for image in draw(pipeline, prompts, settings)]
    pipeline.load_lora_weights(FOLDER / "loras" / f"{recipe.name}.safetensors")
    suffix = f", {recipe.trigger_word}" if recipe.trigger_word else ""
    styled = [effect.measure(image) for image in draw(pipeline, [p + suffix for p in prompts], settings)]
    pipeline.unload_lora_weights()
    return EffectResult(
        name=recipe.name,
        median_with=float(np.median(styled)),
        threshold=effect.threshold,
        median_without=float(np.median(plain)),
        shown=float(np.mean([value > effect.threshold for value in styled])),
        absent=float(np.mean([value <= effect.threshold for value in plain])),
    )


def effect_prompts(count: int) -> list[str]:
    """Prompts on which the effects are measured. No threshold was set on these."""
    random = np.random.default_rng(31)
    return [draw_example(random, held_out=True).prompt for _ in range(count)]


def print_tables(base: BaseResult, effects: Sequence[EffectResult]) -> None:
    """Both results for people."""
    print(f"{base.prompts} held-out prompts, {base.seconds_per_image:.2f} s an image")
    for aspect, target in TARGETS.items():
        print(f"  {aspect:<12}{getattr(base, aspect):>7.1%}   target {target:.0%}")
    print(f"  {'all three':<12}{base.all_three:>7.1%}\n")
    print(f"{'LoRA':<10}{'median with':>12}{'threshold':>11}{'median without':>16}{'shown':>9}{'absent':>9}")
    for effect in effects:
        print(
            f"{effect.name:<10}{effect.median_with:>12.3f}{effect.threshold:>11.3f}{effect.median_without:>16.3f}"
            f"{effect.shown:>9.1%}{effect.absent:>9.1%}  {'pass' if effect.passed else 'FAIL'}"
        )


def main() -> None:
    """Evaluate the base and every LoRA from the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=200, help="held-out prompts for the base")
    parser.add_argument("--effect-prompts", type=int, default=24, help="prompts for each LoRA")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    settings = Settings(arguments.steps, arguments.guidance)
    pipeline = load_base()
    base = evaluate_base(pipeline, arguments.prompts, settings)
    prompts = effect_prompts(arguments.effect_prompts)
    effects = [evaluate_lora(pipeline, recipe, prompts, settings) for recipe in RECIPES]
    if arguments.json:
        results = [asdict(effect) | {"passed": effect.passed} for effect in effects]
        print(json.dumps({"base": asdict(base) | {"passed": base.passed}, "effects": results}, indent=2))
    else:
        print_tables(base, effects)


if __name__ == "__main__":
    main()
