"""Adapter files of every format for a tiny pipeline, with random values, and what each of their layers is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from tests.oracle import families as names
from tests.oracle import methods
from tests.oracle.expected import BIASES, Layers, Rows
from tests.oracle.families import Family
from tests.oracle.file import Array

ALPHAS = (1.0, 4.0, 2.5)
"""Of layers in turn."""
UNSCALED = ("diff", "w_norm", "on_input", "ia3_l", "oft_blocks")
"""Kinds of layers that have no alpha, or one that means something else."""


@dataclass(frozen=True)
class Made:
    """An adapter before it is written.

    Attributes:
        tensors: by key.
        layers: what each layer of the file is.
        ranks: of the layers.
        metadata: of the file's header.
        config: ``adapter_config.json`` beside the file.
    """

    tensors: Mapping[str, Array]
    layers: Layers
    ranks: Mapping[str, int]
    metadata: Mapping[str, str]
    config: Mapping[str, Any] | None = None

    def write(self, path: Path, dtype: torch.dtype = torch.float32) -> Path:
        """Write it; whole numbers stay whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in self.tensors.items()}
        save_file(
            {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()},
            path,
            metadata=dict(self.metadata) or None,
        )
        beside = path.with_name("adapter_config.json")
        beside.unlink(missing_ok=True)
        if self.config is not None:
            beside.write_text(json.dumps(self.config), "utf-8")
        return path


ALPHA_NAMES = ("ss_network_alpha", "lora_alpha", "network_alpha", "alpha")
"""Entries of the metadata under which trainers write one alpha for the whole file."""
Alphas = Callable[[Made], Made]


def nowhere(made: Made) -> Made:
    """Full strength."""
    return made


def scaled_layers(made: Made) -> list[str]:
    """The layers of low rank."""
    return [layer for layer in made.layers if not any(f"{layer}.{kind}" in made.tensors for kind in UNSCALED)]


def in_tensors(made: Made) -> Made:
    """Beside the factors of every layer."""
    alphas = {f"{layer}.alpha": np.array(ALPHAS[n % 3]) for n, layer in enumerate(scaled_layers(made))}
    return replace(made, tensors={**made.tensors, **alphas})


def in_some_tensors(made: Made) -> Made:
    """Every third layer has none: full strength."""
    alphas = {f"{layer}.alpha": np.array(1.0) for n, layer in enumerate(scaled_layers(made)) if n % 3}
    return replace(made, tensors={**made.tensors, **alphas})


def in_metadata(name: str) -> Alphas:
    """One for the whole file."""
    return lambda made: replace(made, metadata={name: "1.5"})


def configuration(made: Made, component: str, **options: Any) -> dict[str, Any]:
    """peft's configuration of one component: every layer has its rank, and one has an alpha of its own."""
    own = {rows[0].module.partition(".")[2]: layer for layer, rows in made.layers.items() if inside(rows, component)}
    return {
        "r": 4,
        "rank_pattern": {module: made.ranks[layer] for module, layer in own.items()},
        "lora_alpha": 3,
        "alpha_pattern": {next(iter(own)): 7},
        "target_modules": list(own),
        **options,
    }


def inside(rows: tuple[Rows, ...], component: str) -> bool:
    return rows[0].module.startswith(f"{component}.")


def in_diffusers_metadata(**options: Any) -> Alphas:
    """As ``save_lora_weights`` of diffusers writes it."""

    def declare(made: Made) -> Made:
        components = dict.fromkeys(rows[0].module.partition(".")[0] for rows in made.layers.values())
        packed = {
            f"{component}.{name}": value
            for component in components
            for name, value in configuration(made, component, **options).items()
        }
        return replace(made, metadata={"format": "pt", "lora_adapter_metadata": json.dumps(packed)})

    return declare


def beside(kind: str, alpha: str = "lora_alpha") -> Alphas:
    """In peft's ``adapter_config.json``, where each kind of adapter has its own name for it."""

    def declare(made: Made) -> Made:
        component = next(iter(made.layers.values()))[0].module.partition(".")[0]
        config = configuration(made, component)
        value = config.pop("lora_alpha")
        return replace(made, config={"peft_type": kind, **config, alpha: value})

    return declare


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        names: what the file calls the layers of a family.
        method: what it holds of each.
        alphas: where it says how strongly each is meant.
        denoisers: components that it is written for; a format older than transformers is for UNets alone.
    """

    names: Callable[[Family, Any], Layers]
    method: methods.Method
    alphas: Alphas = nowhere
    denoisers: tuple[str, ...] = ("unet", "transformer")

    def suits(self, family: Family) -> bool:
        """Return whether there are such files for a family."""
        needs = {names.norm_names.__name__: family.norms, names.xlabs_names.__name__: family.xlabs}
        return family.denoiser in self.denoisers and bool(needs.get(self.names.__name__, True))

    def make(self, family: Family, pipeline: Any, seed: int = 0) -> Made:
        """An adapter that fits this pipeline."""
        random = np.random.default_rng(seed)
        layers = self.names(family, pipeline)
        ranks = {layer: 2 + number % 3 for number, layer in enumerate(layers)}
        weights = shapes(pipeline, family)
        tensors: dict[str, Array] = {}
        for layer, rows in layers.items():
            held = self.method(random, source_shape(weights, rows), ranks[layer])
            biased = all(f"{part.module}.bias" in weights for part in rows)
            tensors |= {f"{layer}.{kind}": value for kind, value in held.items() if biased or kind not in BIASES}
        return self.alphas(Made(tensors, layers, ranks, {}))


def shapes(pipeline: Any, family: Family) -> dict[str, tuple[int, ...]]:
    """Of every weight that an adapter may change."""
    return {
        f"{component}.{name}": tuple(parameter.shape)
        for component in (family.denoiser, *family.text)
        for name, parameter in getattr(pipeline, component).named_parameters()
    }


def source_shape(weights: Mapping[str, tuple[int, ...]], rows: tuple[Rows, ...]) -> tuple[int, ...]:
    """Of a layer as the file's author had it."""
    parts = [weights[f"{part.module}.weight"] for part in rows]
    return (sum(shape[0] for shape in parts), *parts[0][1:])


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "LoRA, diffusers": Format(names.diffusers_names, methods.peft_lora),
        "LoRA, diffusers, alphas in metadata": Format(
            names.diffusers_names, methods.peft_lora, in_diffusers_metadata()
        ),
        "rsLoRA, diffusers": Format(names.diffusers_names, methods.peft_lora, in_diffusers_metadata(use_rslora=True)),
        "LoRA, diffusers names, alpha tensors": Format(names.diffusers_names, methods.peft_lora, in_tensors),
        "LoRA, diffusers names, `lora_alpha`": Format(
            names.diffusers_names, methods.peft_lora, in_metadata("lora_alpha")
        ),
        "LoRA, peft with its `adapter_config.json`": Format(names.peft_names, methods.peft_lora, beside("LORA")),
        "LoRA, DiffSynth-Studio": Format(names.bare_names, methods.default_lora, denoisers=("transformer",)),
        "LoRA, attention processors": Format(names.processor_names, methods.bare_lora, denoisers=("unet",)),
        "LoRA, XLabs": Format(names.xlabs_names, methods.bare_lora),
        "LoRA, kohya": Format(names.kohya_names, methods.lora, in_tensors),
        "LoRA, kohya, some layers without alpha": Format(names.kohya_names, methods.lora, in_some_tensors),
        "LoRA, kohya names, `ss_network_alpha`": Format(
            names.kohya_names, methods.lora, in_metadata("ss_network_alpha")
        ),
        "LoRA, ComfyUI": Format(names.comfy_names, methods.peft_lora),
        "LoRA, ComfyUI names, alpha tensors": Format(names.comfy_names, methods.lora, in_tensors),
        "LoRA, OneTrainer": Format(names.onetrainer_names, methods.lora, in_tensors),
        "LoCon with Tucker, LyCORIS": Format(names.kohya_names, methods.tucker, in_tensors, ("unet",)),
        "LoRA with biases, peft": Format(names.diffusers_names, methods.lora_with_bias),
        "DoRA, diffusers": Format(names.diffusers_names, methods.dora),
        "DoRA of outputs, kohya names": Format(names.kohya_names, methods.dora_of_outputs, in_tensors),
        "DoRA of inputs, LyCORIS": Format(names.kohya_names, methods.dora_of_inputs, in_tensors),
        "LoHa, LyCORIS": Format(names.kohya_names, methods.loha, in_tensors),
        "LoHa with Tucker, LyCORIS": Format(names.kohya_names, methods.loha_tucker, in_tensors, ("unet",)),
        "LoHa, peft": Format(names.peft_names, methods.loha, beside("LOHA", "alpha")),
        "LoKr, peft": Format(names.peft_names, methods.lokr, beside("LOKR", "alpha")),
        "LoKr, LyCORIS": Format(names.kohya_names, methods.lokr, in_tensors),
        "LoKr, both factors whole, SimpleTuner": Format(names.lycoris_names, methods.lokr_whole, in_tensors),
        "LoKr, ai-toolkit": Format(names.comfy_names, methods.lokr, in_tensors),
        "(IA)3, LyCORIS": Format(names.kohya_names, methods.ia3),
        "(IA)3, peft": Format(names.peft_names, methods.peft_ia3, denoisers=("transformer",)),
        "OFT, LyCORIS": Format(names.kohya_names, methods.oft),
        "BOFT, LyCORIS": Format(names.kohya_names, methods.boft),
        "full difference, LyCORIS": Format(names.kohya_names, methods.full_with_bias),
        "full difference, ComfyUI": Format(names.comfy_names, methods.full_with_bias),
        "norms, LyCORIS": Format(names.norm_names, methods.norm),
        "GLoRA, LyCORIS": Format(names.kohya_names, methods.glora, in_tensors),
    }
)
