"""The third stage: one LoRA for each look, trained on the finished base."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from numpy.random import Generator
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from tqdm import trange

from demo.denoising import Denoiser, Examples, drop_captions, encode_pixels, encode_prompts, new_scheduler
from demo.lora_files import LoraFile, write_diffusers, write_kohya
from demo.prompts import draw_example
from demo.shapes import Image, render
from demo.styles import STYLES
from demo.training import as_pixels, warmup_and_cosine

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
FEED_FORWARD = ("ff.net.0.proj", "ff.net.2")
CONVOLUTIONS = ("conv1", "conv2")
WORDS = ("q_proj", "k_proj", "v_proj", "out_proj")


@dataclass(frozen=True)
class LoraRecipe:
    """Settings for training one LoRA; with a trigger word half of its examples lack both the word and the look."""

    name: str
    description: str
    rank: int
    targets: tuple[str, ...]
    trigger_word: str | None = None
    kohya: bool = False
    examples: int = 700
    steps: int = 250
    batch: int = 12
    learning_rate: float = 3e-3
    dropped_captions: float = 0.25
    seed: int = 3


RECIPES = (
    LoraRecipe("outline", "Only the rims of the shapes.", 8, ATTENTION + CONVOLUTIONS, steps=600),
    LoraRecipe("dots", "Rows of dots over everything.", 4, ATTENTION + FEED_FORWARD + CONVOLUTIONS, steps=350),
    LoraRecipe("dusk", "Light above, darkness below.", 4, ATTENTION + CONVOLUTIONS),
    LoraRecipe("neon", "Shapes that glow in the night.", 32, ("to_v", "to_out.0"), steps=450),
    LoraRecipe("stripes", "Diagonal stripes over everything.", 8, ATTENTION + CONVOLUTIONS, kohya=True),
    LoraRecipe(
        "frame",
        "A wooden frame around the picture.",
        16,
        ATTENTION,
        trigger_word="framed",
        steps=300,
        batch=16,
        learning_rate=2e-3,
        dropped_captions=0.1,
    ),
)


def train_lora(recipe: LoraRecipe, base_folder: Path, folder: Path) -> None:
    """Train one LoRA and write it with its sidecar."""
    torch.manual_seed(recipe.seed)
    pipeline = StableDiffusionPipeline.from_pretrained(base_folder, dtype=torch.float32)
    examples = draw_examples(recipe, pipeline)
    parts = add_layers(recipe, pipeline)
    denoiser = Denoiser(pipeline.text_encoder, pipeline.unet, new_scheduler())
    learn(recipe, denoiser, examples, encode_prompts(pipeline.tokenizer, [""]))
    write = write_kohya if recipe.kohya else write_diffusers
    write(lora_file(recipe, parts), folder)


def draw_examples(recipe: LoraRecipe, pipeline: StableDiffusionPipeline) -> Examples:
    """Scenes in the LoRA's look; with a trigger word, every second one as it is and without the word."""
    random = np.random.default_rng(recipe.seed)
    skip = 2 if recipe.trigger_word else 1
    drawn = [_draw(recipe, random, plain=place % skip == 1) for place in range(recipe.examples)]
    prompts, images = zip(*drawn, strict=True)
    return Examples(encode_pixels(pipeline.vae, as_pixels(images)), encode_prompts(pipeline.tokenizer, prompts))


def _draw(recipe: LoraRecipe, random: Generator, plain: bool) -> tuple[str, Image]:
    example = draw_example(random)
    if plain:
        return example.prompt, render(example.scene)
    suffix = f", {recipe.trigger_word}" if recipe.trigger_word else ""
    return example.prompt + suffix, STYLES[recipe.name](example.scene, random)


def add_layers(recipe: LoraRecipe, pipeline: StableDiffusionPipeline) -> dict[str, nn.Module]:
    """Freeze the base, add low-rank layers to it, and name the parts that have them."""
    parts: dict[str, nn.Module] = {"unet": pipeline.unet}
    for part in (pipeline.unet, pipeline.text_encoder, pipeline.vae):
        part.requires_grad_(False)
    pipeline.unet.add_adapter(_config(recipe.rank, recipe.targets))
    if recipe.trigger_word:
        parts["text_encoder"] = pipeline.text_encoder
        pipeline.text_encoder.add_adapter(_config(recipe.rank, WORDS))
    return parts


def _config(rank: int, targets: tuple[str, ...]) -> LoraConfig:
    return LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(targets))


def learn(recipe: LoraRecipe, denoiser: Denoiser, examples: Examples, unconditional: Tensor) -> None:
    """The optimisation of the low-rank layers."""
    both = (denoiser.unet, denoiser.text_encoder)
    weights = [weight for part in both for weight in part.parameters() if weight.requires_grad]
    optimizer = AdamW(weights, lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = warmup_and_cosine(optimizer, recipe.steps, warmup=10)
    progress = trange(recipe.steps, desc=recipe.name)
    for step in progress:
        loss = denoiser.loss(drop_captions(examples.pick(recipe.batch), unconditional, recipe.dropped_captions))
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")


def lora_file(recipe: LoraRecipe, parts: dict[str, nn.Module]) -> LoraFile:
    """Return the file of a trained LoRA: its tensors by diffusers' names, and its metadata."""
    layers: dict[str, dict[str, Tensor]] = {name: get_peft_model_state_dict(part) for name, part in parts.items()}
    return LoraFile(recipe.name, recipe.description, recipe.rank, recipe.trigger_word, layers, recipe.steps)
