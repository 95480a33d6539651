"""The device that a worker draws on."""

from __future__ import annotations

import torch

from tasks.errors import ConfigurationError
from tasks.settings import Device


def choose_device(setting: Device) -> torch.device:
    """The device that the setting names; ``auto`` takes CUDA before MPS before the CPU.

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
