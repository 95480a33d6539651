"""From an adapter's file to the low-rank products that the merge engine adds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError

from tasks.errors import AdapterLoadFailed, AdapterUnavailable
from workers.adapters.shell import ComponentAdapter, LoaderShell
from workers.base.device import first_line
from workers.swap.changes import Change, Difference, LowRank
from workers.swap.parsed_adapter import ParsedAdapter

DOWN, UP, BIAS = ".lora_A.weight", ".lora_B.weight", ".lora_B.bias"


def parse_adapter(shell: LoaderShell, path: Path, ref: str) -> ParsedAdapter:
    """Read an adapter's file for the pipeline of this shell.

    Raises:
        AdapterLoadFailed: the file is broken, was made for another base model, or has values that are not numbers.
        AdapterUnavailable: this machine cannot read it.
    """
    try:
        contents = shell.read(path)
    except SafetensorError as error:
        raise AdapterLoadFailed(f"The file of adapter {ref!r} is broken: {first_line(error)}") from error
    except OSError as error:
        if error.errno is None:  # diffusers' own, for a file that it does not understand
            raise AdapterLoadFailed(f"The file of adapter {ref!r} is broken: {first_line(error)}") from error
        raise AdapterUnavailable(f"The worker cannot read the file of adapter {ref!r}. Submit again.") from error
    except (RuntimeError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError) as error:
        raise AdapterLoadFailed(f"Adapter {ref!r} was not made for this base model: {first_line(error)}") from error
    changes: dict[str, tuple[Change, ...]] = {}
    unmatched = list(contents.foreign)
    try:
        for part in contents.parts:
            reader = ComponentReader(part, shell.modules[part.component], ref)
            changes.update((name, (change,)) for name, change in reader.changes())
            unmatched.extend(reader.unmatched)
    except NeedsDiffusers as reason:
        return ParsedAdapter({}, needs_diffusers=str(reason))
    if not changes and not unmatched:
        raise AdapterLoadFailed(f"Adapter {ref!r} is empty. Export it again.")
    if len(unmatched) > len(changes):
        raise AdapterLoadFailed(
            f"Adapter {ref!r} was not made for this base model: {len(changes)} of its layers fit, and {len(unmatched)} "
            f"of its keys do not, such as {unmatched[0]}."
        )
    parsed = ParsedAdapter.packed(changes, shell.dtypes, tuple(unmatched), pinned=shell.device.type == "cuda")
    if (name := parsed.not_finite()) is not None:
        raise AdapterLoadFailed(
            f"Adapter {ref!r} has values that are not finite numbers, in {name}. Train or export it again."
        )
    return parsed


class NeedsDiffusers(Exception):
    """The adapter holds something else than low-rank products of plain weights; the text says what."""


class ComponentReader:
    """Reads the part of an adapter that changes one component.

    Attributes:
        unmatched: keys for which the component has no module.
    """

    def __init__(self, part: ComponentAdapter, modules: Mapping[str, torch.nn.Module], ref: str) -> None:
        self._part = part
        self._modules = modules
        self._ref = ref
        self.unmatched: list[str] = []

    def changes(self) -> Iterator[tuple[str, Change]]:
        """The changes by name of the weight.

        Raises:
            AdapterLoadFailed: a tensor is missing or has the wrong shape.
            NeedsDiffusers: diffusers' own loader must merge it.
        """
        config = plain_config(self._part)
        for name, parts in self._by_module().items():
            module = self._modules.get(name)
            if module is None:
                self.unmatched.extend(f"{self._part.component}.{name}{kind}" for kind in parts)
                continue
            yield from self._module_changes(name, module, parts, config)

    def _by_module(self) -> dict[str, dict[str, torch.Tensor]]:
        found: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in self._part.state.items():
            name, dot, kind = key.partition(".lora_")
            found.setdefault(name, {})[dot + kind] = value
        return found

    def _module_changes(
        self, name: str, module: torch.nn.Module, parts: Mapping[str, torch.Tensor], config: LoraConfig
    ) -> Iterator[tuple[str, Change]]:
        if parts.keys() - {DOWN, UP, BIAS}:
            raise NeedsDiffusers(f"{name} has {', '.join(sorted(parts.keys() - {DOWN, UP, BIAS}))}")
        if not {DOWN, UP} <= parts.keys():
            missing = ({DOWN, UP} - parts.keys()).pop()
            raise AdapterLoadFailed(f"Adapter {self._ref!r} lacks {name}{missing}. Export it again.")
        weight = plain_weight(name, module)
        down, up = self._flat(name, weight, parts[DOWN], parts[UP])
        scale = scaling(config, name, rank=down.shape[0])
        full_name = f"{self._part.component}.{name}"
        yield f"{full_name}.weight", LowRank(down, up, scale)
        if BIAS in parts:
            bias = module.bias
            if not isinstance(bias, torch.Tensor) or bias.shape != parts[BIAS].shape:
                raise self._misfit(name, BIAS, parts[BIAS])
            yield f"{full_name}.bias", Difference(parts[BIAS], scale)

    def _flat(
        self, name: str, weight: torch.Tensor, down: torch.Tensor, up: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The factors as matrices: [rank, inputs] and [outputs, rank]."""
        for kind, factor in ((DOWN, down), (UP, up)):
            if factor.ndim < 2 or not factor.numel():
                raise self._misfit(name, kind, factor)
        if up.ndim > 2 and up.shape[2:].numel() > 1:
            raise NeedsDiffusers(f"{name} has an upward convolution that is larger than 1x1")
        # A 1x1 convolution may be stored as a matrix, and a matrix as a 1x1 convolution.
        if down.shape[1:].numel() != weight.shape[1:].numel():
            raise self._misfit(name, DOWN, down)
        if up.shape[0] != weight.shape[0] or up.shape[1] != down.shape[0]:
            raise self._misfit(name, UP, up)
        return down.flatten(1), up.flatten(1)

    def _misfit(self, name: str, kind: str, value: torch.Tensor) -> AdapterLoadFailed:
        shape = tuple(plain_weight(name, self._modules[name]).shape)
        return AdapterLoadFailed(
            f"Adapter {self._ref!r} was not made for this base model: its {name}{kind} is {tuple(value.shape)}, "
            f"and the weight there is {shape}."
        )


def plain_config(part: ComponentAdapter) -> LoraConfig:
    """The part's configuration.

    Raises:
        NeedsDiffusers: it is not a plain LoRA.
    """
    if part.config is None:
        raise NeedsDiffusers("LoKr")
    if part.config.use_dora:
        raise NeedsDiffusers("DoRA")
    return part.config


def plain_weight(name: str, module: torch.nn.Module) -> torch.Tensor:
    """The weight of a module whose weight is one plain floating-point tensor.

    Raises:
        NeedsDiffusers: it is quantised, grouped, or no linear or convolution layer.
    """
    is_plain = type(module) is torch.nn.Linear or (isinstance(module, torch.nn.Conv2d) and module.groups == 1)
    weight = module.weight
    if not is_plain or not isinstance(weight, torch.Tensor) or not weight.is_floating_point():
        raise NeedsDiffusers(f"{name} is a {type(module).__name__}")
    return weight


def scaling(config: LoraConfig, name: str, rank: int) -> float:
    """Alpha over rank, or over its square root (https://arxiv.org/abs/2312.03732), of one module."""
    pattern = get_pattern_key(config.alpha_pattern.keys(), name)
    alpha = float(config.alpha_pattern.get(pattern, config.lora_alpha))
    return alpha / math.sqrt(rank) if config.use_rslora else alpha / rank
