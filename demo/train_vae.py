"""The first stage: an autoencoder that turns a 64x64 picture into a 16x16 latent of four channels and back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from tqdm import trange

from demo.prompts import draw_example
from demo.shapes import SIZE, Image, render
from demo.styles import STYLES
from demo.training import as_input, as_pixels, warmup_and_cosine


@dataclass(frozen=True)
class VaeRecipe:
    """Settings for training the autoencoder."""

    pictures: int = 3_000
    steps: int = 1_400
    batch: int = 8
    learning_rate: float = 2e-3
    kl_weight: float = 1e-4
    seed: int = 1


def new_vae() -> AutoencoderKL:
    """An untrained autoencoder: three resolutions, no attention, under half a million parameters."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 24, 32),
        norm_num_groups=1,
        latent_channels=4,
        sample_size=SIZE,
        mid_block_add_attention=False,
    )
    _keep_plain_colours(vae)
    return vae


def _keep_plain_colours(vae: AutoencoderKL) -> None:
    """Initial weights with which the first steps already carry colour and contrast through.

    Orthogonal convolutions keep the signal's size, and residual blocks begin as identities. Group
    normalisation would divide the strength of a plain colour away: constant offsets in the first
    convolutions keep its statistics from depending on the picture alone. The latents' noise begins small.
    """
    for module in vae.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.orthogonal_(module.weight)
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            nn.init.zeros_(module.conv2.weight)
    for first in (vae.encoder.conv_in, vae.decoder.conv_in):
        nn.init.constant_(first.bias[::2], 1)
        nn.init.constant_(first.bias[1::2], -1)
    nn.init.constant_(vae.quant_conv.bias[vae.config.latent_channels :], -5)


def draw_picture(random: Generator) -> Image:
    """A scene as it is, or in the look of some LoRA: the autoencoder has to express those too."""
    scene = draw_example(random).scene
    looks = list(STYLES.values())
    choice = int(random.integers(2 * len(looks)))
    return looks[choice](scene, random) if choice < len(looks) else render(scene)


def loss_of(vae: AutoencoderKL, images: Tensor, kl_weight: float) -> Tensor:
    """Reconstruction error plus a little pressure on the latents to stay near a unit normal."""
    posterior = vae.encode(images).latent_dist
    restored = vae.decode(posterior.sample()).sample
    divergence = posterior.kl().mean() / posterior.mean[0].numel()
    loss: Tensor = l1_loss(restored, images) + mse_loss(restored, images) + kl_weight * divergence
    return loss


def train_vae(recipe: VaeRecipe, folder: Path) -> None:
    """Train an autoencoder from nothing and save it with its scaling factor."""
    torch.manual_seed(recipe.seed)
    random = np.random.default_rng(recipe.seed)
    pixels = as_pixels(draw_picture(random) for _ in trange(recipe.pictures, desc="vae pictures"))
    vae = new_vae()
    optimizer = AdamW(vae.parameters(), lr=recipe.learning_rate, weight_decay=1e-4)
    schedule = warmup_and_cosine(optimizer, recipe.steps, warmup=30)
    progress = trange(recipe.steps, desc="vae")
    for step in progress:
        loss = loss_of(vae, as_input(pixels[torch.randint(len(pixels), (recipe.batch,))]), recipe.kl_weight)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")
    vae.register_to_config(scaling_factor=1 / spread_of_latents(vae, pixels[:1000]))
    vae.save_pretrained(folder)


@torch.no_grad()
def spread_of_latents(vae: AutoencoderKL, pixels: Tensor) -> float:
    """The standard deviation of the latents of these pictures."""
    return float(torch.cat([vae.encode(as_input(part)).latent_dist.mean for part in pixels.split(50)]).std())
