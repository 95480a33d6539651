"""A pipeline without weights, for which adapters are read: names and shapes are all that this takes."""

from __future__ import annotations

import copy
import sys
from typing import Any

import torch

from workers.adapters.converters import Converter
from workers.adapters.module_names import ModuleNames
from workers.adapters.places import Places
from workers.base.pipeline import loadable_components, weights_of


class LoaderShell:
    """A pipeline without weights.

    Attributes:
        components: the components that an adapter may change, on the meta device.
        modules: theirs, by component and by name.
        dtypes: of the weights, by name with the component in front.
        quantised: the weights that are no plain tensors of floating-point numbers, by name.
        shapes: of the weights of modules, by name of the module with its component in front.
        places: where the layers of files are in the pipeline.
    """

    def __init__(self, pipeline: Any) -> None:
        loadable = loadable_components(pipeline)
        self.quantised = frozenset(
            f"{component}.{name}"
            for component, module in loadable.items()
            for name, parameter in module.named_parameters()
            if type(parameter) is not torch.nn.Parameter or not parameter.is_floating_point()
        )
        self.components: dict[str, Any] = {name: without_weights(module) for name, module in loadable.items()}
        self.modules = {name: dict(component.named_modules()) for name, component in self.components.items()}
        self.dtypes = {name: weight.dtype for name, weight in weights_of(self.components).items()}
        self.shapes = {
            f"{component}.{name}": weight_shape(module)
            for component, modules in self.modules.items()
            for name, module in modules.items()
            if module._parameters.get("weight") is not None
        }
        names = ModuleNames(self.modules)
        unet = self.components.get("unet")
        converter = Converter(importable(type(pipeline)), None if unet is None else unet.config, names)
        self.places = Places(names, converter, self.shapes)

    def takes_image(self, module: str) -> bool:
        """Return whether a module is the first layer of its model, that takes the image or what is known of it."""
        component, _, name = module.partition(".")
        channels = getattr(self.components[component].config, "in_channels", None)
        return "." not in name and self.shapes[module][1:2] == (channels,)


def weight_shape(module: torch.nn.Module) -> torch.Size:
    """The shape of a module's weight as the model means it; a quantised one is stored in another."""
    if isinstance(module, torch.nn.Linear):
        return torch.Size((module.out_features, module.in_features))
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight.shape


def importable(kind: type[Any]) -> Any:
    """The class, or its nearest base that has a name in its module: one that was made while running has none."""
    return next(base for base in kind.__mro__ if vars(sys.modules[base.__module__]).get(base.__name__) is base)


def without_weights(module: torch.nn.Module) -> Any:
    """A copy of the module on the meta device; the weights are not read."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = torch.nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.to("meta")
    return copy.deepcopy(module, memo)
