"""Learning to denoise: examples as latents and tokens, and the loss that the base and the LoRAs share."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import mse_loss
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
        """The mean squared error of the predicted velocity, at noise levels spread evenly over the batch."""
        latents = examples.latents
        timesteps = spread_timesteps(len(latents), self.scheduler.config.num_train_timesteps)
        noise = torch.randn_like(latents)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        velocity = self.scheduler.get_velocity(latents, noise, timesteps)
        words = self.text_encoder(examples.tokens).last_hidden_state
        return mse_loss(self.unet(noisy, timesteps, words).sample, velocity)


def spread_timesteps(count: int, among: int) -> Tensor:
    """One random timestep from each of `count` equal spans: less noise in the loss than independent draws."""
    return ((torch.arange(count) + torch.rand(count)) * (among / count)).long()


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
    return torch.cat(means) * vae.config.scaling_factor


def encode_prompts(tokenizer: CLIPTokenizer, prompts: Sequence[str]) -> Tensor:
    """Token ids, padded as the pipeline pads them."""
    encoded = tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
    return torch.as_tensor(encoded["input_ids"])
