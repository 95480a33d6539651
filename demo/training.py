"""Shared by every stage of the training: images as tensors, the learning rate, averaged weights, seeds."""

from collections.abc import Iterable
from math import cos, pi

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from demo.shapes import Image


def as_pixels(images: Iterable[Image]) -> Tensor:
    """Images as one uint8 tensor, batch x 3 x height x width: a quarter of the memory of floats."""
    return torch.stack([torch.from_numpy(np.round(image * 255).astype(np.uint8)) for image in images]).movedim(-1, 1)


def as_input(pixels: Tensor) -> Tensor:
    """uint8 pixels as the floats from -1 to 1 that the autoencoder works on."""
    return pixels.float() / 127.5 - 1


def warmup_and_cosine(optimizer: AdamW, steps: int, warmup: int = 100, floor: float = 0.02) -> LambdaLR:
    """A learning rate that rises in a line over `warmup` steps and then falls as a cosine down to `floor`."""

    def factor(step: int) -> float:
        fallen = (1 + cos(pi * min(1, step / steps))) / 2
        return min(1, (step + 1) / warmup) * max(floor, fallen)

    return LambdaLR(optimizer, factor)


class Average:
    """An exponential moving average of some weights, which draws better than the last step's."""

    def __init__(self, weights: Iterable[nn.Parameter], decay: float) -> None:
        self._live: list[Tensor] = list(weights)
        self._mean = [weight.detach().clone() for weight in self._live]
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the current weights in; early on the average follows them quickly."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self._mean, self._live, 1 - decay)

    @torch.no_grad()
    def exchange(self) -> None:
        """Swap the average with the current weights; calling it again swaps back."""
        for live, mean in zip(self._live, self._mean, strict=True):
            held = live.clone()
            live.copy_(mean)
            mean.copy_(held)
