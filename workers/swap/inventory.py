"""An inventory of what a pipeline's modules hold, taken when it is loaded and again when it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch

Identity = tuple[object, ...]


@dataclass(frozen=True)
class Inventory:
    """The modules of a pipeline and their tensors at one moment, by name with the component in front.

    Attributes:
        tensors: every parameter and buffer.
        identities: of every module its class and whether it is in training mode; of every tensor its shape and dtype,
            and of a parameter where it lies, since adapters are merged into that memory.
    """

    tensors: Mapping[str, torch.Tensor]
    identities: Mapping[str, Identity]

    @classmethod
    def of(cls, pipeline: Any) -> Self:
        """Look through all components of the pipeline."""
        tensors: dict[str, torch.Tensor] = {}
        identities: dict[str, Identity] = {}
        for component, root in pipeline.components.items():
            if not isinstance(root, torch.nn.Module):
                continue
            for name, module in root.named_modules(prefix=component):
                identities[name] = (type(module), module.training)
            for name, parameter in root.named_parameters(prefix=component):
                tensors[name] = parameter.detach()
                identities[name] = (parameter.shape, parameter.dtype, parameter.data_ptr())
            for name, buffer in root.named_buffers(prefix=component):
                tensors[name] = buffer
                identities[name] = (buffer.shape, buffer.dtype)
        return cls(tensors, identities)

    def differences(self, now: Inventory) -> list[str]:
        """The names of modules and tensors that were added, taken away or replaced."""
        names = {**self.identities, **now.identities}
        return [name for name in names if self.identities.get(name) != now.identities.get(name)]

    @property
    def bytes(self) -> int:
        """Memory of the tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())
