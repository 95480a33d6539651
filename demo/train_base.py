"""The second stage: the text encoder and the U-Net, trained together to draw what a sentence asks for."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from tqdm import tqdm, trange
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from demo.denoising import Denoiser, Examples, drop_captions, encode_pixels, encode_prompts, new_scheduler
from demo.lora_files import BASE_MODEL
from demo.prompts import Example, draw_example
from demo.shapes import render
from demo.training import Average, as_pixels, warmup_and_cosine
from demo.vocabulary import train_tokenizer

WORD_WIDTH = 128


@dataclass(frozen=True)
class Round:
    """One fall of the learning rate, on fresh examples; it goes on from the average of the round before."""

    steps: int
    learning_rate: float


@dataclass(frozen=True)
class BaseRecipe:
    """Settings for training the text encoder and the U-Net."""

    rounds: tuple[Round, ...] = (Round(1_450, 1e-3), Round(600, 8e-4), Round(750, 7e-4))
    examples: int = 4_000
    batch: int = 32
    dropped_captions: float = 0.1
    average_decay: float = 0.998
    save_every: int = 200
    seed: int = 2


def new_unet() -> UNet2DConditionModel:
    """An untrained U-Net on 16x16 latents of four channels; it reads the words at 8x8 and 4x4."""
    return UNet2DConditionModel(
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 96, 96),
        layers_per_block=1,
        cross_attention_dim=WORD_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained text encoder of two layers."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WORD_WIDTH,
        intermediate_size=4 * WORD_WIDTH,
        projection_dim=WORD_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def draw(count: int, seed: int) -> list[Example]:
    """Examples of the side of the split that may be seen."""
    random = np.random.default_rng(seed)
    return [draw_example(random) for _ in range(count)]


def encode(drawn: Sequence[Example], vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> Examples:
    """Examples as what the U-Net and the text encoder work on."""
    pixels = as_pixels(render(example.scene) for example in tqdm(drawn, desc="base pictures"))
    return Examples(encode_pixels(vae, pixels), encode_prompts(tokenizer, [example.prompt for example in drawn]))


def train_base(recipe: BaseRecipe, vae_folder: Path, folder: Path) -> None:
    """Train text encoder and U-Net from nothing on a trained autoencoder; save the pipeline now and then."""
    torch.manual_seed(recipe.seed)
    vae = AutoencoderKL.from_pretrained(vae_folder)
    tokenizer = train_tokenizer(example.prompt for example in draw(recipe.examples, recipe.seed))
    denoiser = Denoiser(new_text_encoder(tokenizer), new_unet(), new_scheduler())
    unconditional = encode_prompts(tokenizer, [""])

    def save() -> None:
        save_base(vae, tokenizer, denoiser, folder)

    for number, part in enumerate(recipe.rounds):
        examples = encode(draw(recipe.examples, recipe.seed + number), vae, tokenizer)
        learn(recipe, part, denoiser, examples, unconditional=unconditional, save=save)


def learn(
    recipe: BaseRecipe,
    part: Round,
    denoiser: Denoiser,
    examples: Examples,
    *,
    unconditional: Tensor,
    save: Callable[[], None],
) -> None:
    """One round of optimisation; calls `save` with averaged weights in place now and then, and leaves them there."""
    weights = [*denoiser.text_encoder.parameters(), *denoiser.unet.parameters()]
    average = Average(weights, recipe.average_decay)
    optimizer = AdamW(weights, lr=part.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = warmup_and_cosine(optimizer, part.steps)
    progress = trange(1, part.steps + 1, desc="base")
    for step in progress:
        batch = drop_captions(examples.pick(recipe.batch), unconditional, recipe.dropped_captions)
        loss = denoiser.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        average.update()
        if step % 20 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")
        if step % recipe.save_every == 0:
            average.exchange()
            save()
            average.exchange()
    average.exchange()
    save()


def save_base(vae: AutoencoderKL, tokenizer: CLIPTokenizer, denoiser: Denoiser, folder: Path) -> None:
    """Save everything as one pipeline in half precision."""
    pipeline = StableDiffusionPipeline(
        vae=deepcopy(vae),
        text_encoder=deepcopy(denoiser.text_encoder),
        tokenizer=tokenizer,
        unet=deepcopy(denoiser.unet),
        scheduler=denoiser.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    for part in (pipeline.vae, pipeline.unet):
        part.register_to_config(_name_or_path=BASE_MODEL)  # not the folder that it happened to be loaded from
    pipeline.to(torch.float16).save_pretrained(folder)
    tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))  # vocab.json and merges.txt, for other tools
    _unpin_dtype(folder / "text_encoder" / "config.json")


def _unpin_dtype(path: Path) -> None:
    """Let the text encoder load in float32 when nothing is asked for, as diffusers loads the other parts."""
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
