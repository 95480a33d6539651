"""The device and the software that pictures are drawn with."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from tasks import __version__
from tasks.base_models.registry import ServedModel
from tasks.jobs.result import Surroundings

PACKAGES = ("torch", "diffusers", "transformers", "peft", "safetensors", "numpy")


def surroundings_of(model: ServedModel, device: torch.device) -> Surroundings:
    """What a worker of this base model on this device draws with."""
    versions = {name: version(name) for name in PACKAGES}
    return Surroundings(
        device=device_name(device),
        dtype=model.dtype,
        versions={"stokehold": __version__, "python": platform.python_version(), **versions},
    )


def device_name(device: torch.device) -> str:
    """What kernels run on: they differ between kinds of GPU, and between the instruction sets of CPUs."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return device.type
