"""Ask diffusers what an adapter's file means, without letting it touch the pipeline.

diffusers' ``load_lora_weights`` knows every format of every pipeline class. It is run here on a shell of the pipeline
whose components have shapes and no weights (torch's meta device) and write down what they are told to load.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.utils.peft_utils import _create_lora_config
from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft
from peft import LoraConfig

from workers.base.pipeline import loadable_components, weights_of


@dataclass(frozen=True)
class ComponentAdapter:
    """The weights that diffusers would load into one component.

    Attributes:
        component: its name in the pipeline.
        state: tensors by key in PEFT's format (``<module>.lora_A.weight``).
        config: ranks and alphas by module; None for what is not a LoRA.
    """

    component: str
    state: Mapping[str, torch.Tensor]
    config: LoraConfig | None


@dataclass(frozen=True)
class AdapterContents:
    """The weights that diffusers would load from a file.

    Attributes:
        parts: by component.
        foreign: keys that belong to no component of the pipeline.
    """

    parts: tuple[ComponentAdapter, ...]
    foreign: tuple[str, ...]


class LoaderShell:
    """A pipeline without weights.

    Attributes:
        components: the components that an adapter may change, on the meta device.
        modules: theirs, by component and by name.
        dtypes: of the weights, by name with the component in front.
        device: where the pipeline itself is.
    """

    def __init__(self, pipeline: Any) -> None:
        self._adopt({name: without_weights(module) for name, module in loadable_components(pipeline).items()})
        self._spares = copy.deepcopy(self.components)
        self.device: torch.device = pipeline.device
        self.dtypes = {name: weight.dtype for name, weight in weights_of(self.components).items()}
        self._lock = threading.Lock()
        self._pipeline: Any = copy.copy(pipeline)
        for name, component in pipeline.components.items():
            if isinstance(component, torch.nn.Module):
                self._pipeline.__dict__[name] = self.components.get(name)

    def read(self, path: Path) -> AdapterContents:
        """Return what diffusers would load from this file. May be called from several threads.

        Raises:
            OSError, SafetensorError: the file cannot be read.
            ValueError, KeyError, RuntimeError, ...: whatever diffusers raises for a file that is not an adapter of this
                pipeline's class.
        """
        with self._lock:
            try:
                return self._read(path)
            finally:
                self._mend()

    def _read(self, path: Path) -> AdapterContents:
        recorded: list[ComponentAdapter] = []
        keys: set[str] = set()
        shell: Any = copy.copy(self._pipeline)
        for name, module in self.components.items():
            shell.__dict__[name] = recorder(name, module, recorded, keys)
        shell.load_lora_weights(path.parent, weight_name=path.name, adapter_name="adapter")
        foreign = (key for key in keys if key.partition(".")[0] not in self.components)
        return AdapterContents(tuple(recorded), tuple(sorted(foreign)))

    def _adopt(self, components: dict[str, Any]) -> None:
        self.components = components
        self.modules = {name: dict(component.named_modules()) for name, component in components.items()}
        self._layout = Layout(components.values())

    def _mend(self) -> None:
        """Undo what diffusers does to a FLUX transformer for a Control LoRA: it widens the layer that takes the image.

        Raises:
            ValueError: it did so; the pipeline itself is not widened, so the file cannot be used.
        """
        if not self._layout.holds():
            self._adopt(copy.deepcopy(self._spares))
            raise ValueError("it changes the shape of the base model's weights, as a Control LoRA does.")


class Layout:
    """The modules and parameters of some modules. Faster to compare than their names and shapes."""

    def __init__(self, roots: Iterable[torch.nn.Module]) -> None:
        self._modules = [module for root in roots for module in root.modules()]
        self._parts = [parts(module) for module in self._modules]

    def holds(self) -> bool:
        """Return whether none of them was replaced, added or taken away."""
        return all(parts(module) == before for module, before in zip(self._modules, self._parts, strict=True))


def parts(module: torch.nn.Module) -> list[int]:
    """The identities of a module's own parameters and children."""
    return [id(part) for part in (*module._parameters.values(), *module._modules.values())]


def without_weights(module: torch.nn.Module) -> Any:
    """A copy of the module on the meta device; the weights are not read."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = torch.nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.to("meta")
    return copy.deepcopy(module, memo)


def recorder(component: str, module: Any, recorded: list[ComponentAdapter], keys: set[str]) -> Any:
    """A shallow copy of the module that writes down what it is told to load, and all keys that it was shown."""

    def load_lora_adapter(
        state: dict[str, Any], prefix: str = "transformer", network_alphas: Any = None, metadata: Any = None, **_: Any
    ) -> None:
        """As ``diffusers.loaders.peft.PeftAdapterMixin`` has it."""
        start = f"{prefix}."
        keys.update(state)
        state = strip(state, start)
        if state:
            config = lora_config(state, network_alphas, metadata, start)
            recorded.append(ComponentAdapter(component, *config))

    def load_adapter(adapter_state_dict: dict[str, Any], peft_config: LoraConfig, **_: Any) -> None:
        """As ``transformers.integrations.peft.PeftAdapterMixin`` has it."""
        recorded.append(ComponentAdapter(component, adapter_state_dict, peft_config))

    shell = copy.copy(module)
    shell.load_lora_adapter = load_lora_adapter
    shell.load_adapter = load_adapter
    return shell


def strip(values: Mapping[str, Any], start: str) -> dict[str, Any]:
    """The entries whose key begins with ``start``, without it."""
    return {key.removeprefix(start): value for key, value in values.items() if key.startswith(start)}


def lora_config(
    state: dict[str, Any], network_alphas: Any, metadata: Any, start: str
) -> tuple[dict[str, Any], LoraConfig | None]:
    """The state in PEFT's format and its configuration, as ``PeftAdapterMixin.load_lora_adapter`` works them out."""
    if any(".lokr_" in key for key in state):
        return state, None
    if "lora_A" not in next(iter(state)):
        state = convert_unet_state_dict_to_peft(state)
    ranks = {f"^{key}": value.shape[1] for key, value in state.items() if "lora_B" in key and value.ndim > 1}
    alphas = strip(network_alphas, start) if network_alphas else network_alphas
    config = _create_lora_config(state, alphas, strip(metadata, start) if metadata else metadata, ranks)
    return state, config
