"""Learning to denoise: examples as latents and tokens, and the loss that the base and the LoRAs share."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import max_pool2d, mse_loss
from transformers import CLIPTextModel, CLIPTokenizer

from demo.training import as_input


@dataclass(frozen=True)
class Examples:
    """Training examples: float latents, count x 4 x 16 x 16, and token ids, count x length."""

    latents: Tensor
    tokens: Tensor

    def pick(self, count: int) -> "Examples":
        """So many of them at random, with repeats."""
        chosen = torch.randint(len(self.latents), (count,))
        return Examples(self.latents[chosen], self.tokens[chosen])


@dataclass(frozen=True)
class Denoiser:
    """The parts of a pipeline that take part in learning to denoise."""

    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    scheduler: DDIMScheduler

    def loss(self, examples: Examples) -> Tensor:
        """The weighted squared error of the predicted velocity, at noise levels spread over the batch."""
        latents = examples.latents
        timesteps = spread_timesteps(len(latents), self.scheduler.config.num_train_timesteps)
        noise = torch.randn_like(latents)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        velocity = self.scheduler.get_velocity(latents, noise, timesteps)
        words = self.text_encoder(examples.tokens).last_hidden_state
        errors = mse_loss(self.unet(noisy, timesteps, words).sample, velocity, reduction="none")
        return (errors * prominence(latents)).mean()


def spread_timesteps(count: int, among: int) -> Tensor:
    """One random timestep from each of `count` spans, narrower where there is more noise.

    Spans give less variance than independent draws. What to draw is decided in much noise; in little
    noise the picture itself shows it, and there is nothing to be learned about the words.
    """
    even = (torch.arange(count) + torch.rand(count)) / count
    return (even**0.6 * among).long()


def prominence(latents: Tensor) -> Tensor:
    """Weights of mean 1, batch x 1 x height x width: up to four times as much on and beside the figures.

    Without them the plain background, most of the picture, drowns what distinguishes one shape from another.
    """
    background = latents.flatten(2).median(dim=2).values[..., None, None]
    differing = (latents - background).norm(dim=1, keepdim=True)
    near = max_pool2d(differing, kernel_size=3, stride=1, padding=1)
    weights = 1 + 3 * near / near.amax(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    return weights / weights.mean(dim=(2, 3), keepdim=True)


def drop_captions(examples: Examples, unconditional: Tensor, share: float) -> Examples:
    """The same examples with some captions emptied: what classifier-free guidance compares against."""
    dropped = torch.rand(len(examples.tokens), 1) < share
    return Examples(examples.latents, torch.where(dropped, unconditional, examples.tokens))


def new_scheduler() -> DDIMScheduler:
    """Velocity prediction down to pure noise: only so can a picture be wholly black or wholly white."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


@torch.no_grad()
def encode_pixels(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """The scaled latents of uint8 pixels."""
    means = [vae.encode(as_input(part)).latent_dist.mean for part in pixels.split(50)]
    return torch.cat(means) * float(vae.config.scaling_factor)


def encode_prompts(tokenizer: CLIPTokenizer, prompts: Sequence[str]) -> Tensor:
    """Token ids, padded as the pipeline pads them."""
    encoded = tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
    return torch.as_tensor(encoded["input_ids"])
