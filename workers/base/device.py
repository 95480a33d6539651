"""The device that a worker draws on: its name, its memory, and the versions of its software."""

from __future__ import annotations

import platform
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import torch

from tasks import __version__
from tasks.base_models.registry import ServedModel
from tasks.errors import ConfigurationError, OutOfMemory
from tasks.jobs.result import Environment
from tasks.settings import Device


def choose_device(setting: Device) -> torch.device:
    """Return the device that the setting names; ``auto`` takes CUDA before MPS before the CPU.

    Raises:
        ConfigurationError: this machine, or this build of torch, does not have it.
    """
    present = {
        Device.CUDA: torch.cuda.is_available(),
        Device.MPS: torch.backends.mps.is_available(),
        Device.CPU: True,
    }
    if setting is Device.AUTO:
        return torch.device(next(device for device, there in present.items() if there))
    if not present[setting]:
        usable = ", ".join(device for device, there in present.items() if there)
        raise ConfigurationError(f"STOKEHOLD_DEVICE={setting}: torch finds no such device here; usable: {usable}.")
    return torch.device(setting)


NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""In the texts of the plain ``RuntimeError`` with which torch says that this machine's own memory does not suffice, and
of those that its libraries on a device raise."""


@contextmanager
def memory_errors() -> Iterator[None]:
    """Translate a failed allocation.

    The frames of the failure hold the tensors for which there was room; they are let go at once, so that the next job,
    which may begin before this one is settled, finds it free.

    Raises:
        OutOfMemory: an allocation failed.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        raise OutOfMemory(
            "The device ran out of memory. Ask for a smaller width and height, or for fewer adapters."
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether this is a failed allocation, on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in NO_MEMORY)


PACKAGES = ("torch", "diffusers", "transformers", "peft", "safetensors", "numpy")


def environment_of(model: ServedModel, device: torch.device) -> Environment:
    """Return the environment of a worker of this base model on this device."""
    versions = {name: version(name) for name in PACKAGES}
    return Environment(
        device=device_name(device),
        dtype=model.dtype,
        versions={"stokehold": __version__, "python": platform.python_version(), **versions},
    )


def device_name(device: torch.device) -> str:
    """Return the name of the device by its kernels, which differ between kinds of GPU and instruction sets of CPUs."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return device.type


def first_line(error: BaseException) -> str:
    """Return the start of an exception's text, short enough for a job's record."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
