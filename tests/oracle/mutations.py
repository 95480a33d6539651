"""Adapters as they should not be: keys, shapes, values, metadata and bytes changed at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tests.oracle.file import Array
from tests.oracle.formats import Made

Random = np.random.Generator
Mutation = Callable[[Made, Random], Made]

BACKTRACKING = "(a+)+$"
METADATA: tuple[dict[str, str], ...] = (
    {"lora_adapter_metadata": "{"},
    {"lora_adapter_metadata": "[1, 2]"},
    {"lora_adapter_metadata": '{"transformer.lora_alpha": "much"}'},
    {"lora_adapter_metadata": '{"unet.r": -4, "unet.lora_alpha": null, "unet.target_modules": 7}'},
    {"lora_adapter_metadata": f'{{"transformer.alpha_pattern": {{"{BACKTRACKING}": 3}}}}'},
    {"lora_adapter_metadata": '{"unet.unheard_of": true, "unet.lora_dropout": 0.9}'},
    {"ss_network_alpha": "None"},
    {"ss_network_alpha": "nan"},
    {"lora_alpha": "1e999"},
    {"alpha": "-3"},
    {"network_alpha": "0"},
    {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora", "ss_network_module": "lycoris.kohya"},
)


def choose(random: Random, made: Made) -> str:
    """One of the keys."""
    return str(random.choice(sorted(made.tensors)))


def with_tensors(made: Made, tensors: dict[str, Array]) -> Made:
    return replace(made, tensors=tensors)


def changed(made: Made, key: str, value: Array) -> Made:
    return with_tensors(made, {**made.tensors, key: value})


def drop_key(made: Made, random: Random) -> Made:
    lost = choose(random, made)
    return with_tensors(made, {key: value for key, value in made.tensors.items() if key != lost})


def drop_layers(made: Made, random: Random) -> Made:
    """Most of them, as a LoRA of a few blocks has it."""
    kept = [layer for layer in made.layers if random.random() < 0.3]
    tensors = {key: value for key, value in made.tensors.items() if any(key.startswith(f"{layer}.") for layer in kept)}
    return with_tensors(made, tensors)


def rename_key(made: Made, random: Random) -> Made:
    key = choose(random, made)
    name = str(
        random.choice(["x", "lora_unet_", "transformer.blocks.99.attn.to_q.lora_A.weight", "old." + key, "é" + key])
    )
    return with_tensors(made, {name if other == key else other: value for other, value in made.tensors.items()})


def add_key(made: Made, random: Random) -> Made:
    names = ["cond_stage_model.logit_scale", "lora_te9_x.alpha", "bundle_emb.cat.string_to_param.*", "step"]
    return changed(made, str(random.choice(names)), random.normal(size=(2, 3)))


def add_kind(made: Made, random: Random) -> Made:
    """A tensor of a kind that the layer's format does not have."""
    layer = str(random.choice(sorted(made.layers)))
    return changed(made, f"{layer}.{random.choice(['foo', 'scale_weight', 'lora_mid'])}", random.normal(size=3))


def reshape(made: Made, random: Random) -> Made:
    key = choose(random, made)
    value = made.tensors[key]
    flat = value.reshape(-1)
    options = [flat, value[None], value[..., None], np.concatenate([flat, flat]), flat[:0], flat[:1].reshape(())]
    return changed(made, key, options[random.integers(len(options))] if value.size else value)


def widen(made: Made, random: Random) -> Made:
    """One more of something: rank, inputs or outputs."""
    key = choose(random, made)
    value = made.tensors[key]
    if not value.ndim:
        return made
    axis = int(random.integers(value.ndim))
    return changed(made, key, np.concatenate([value, value.take([0], axis)], axis))


def spoil_value(made: Made, random: Random) -> Made:
    key = choose(random, made)
    if made.tensors[key].dtype != np.float64:
        return made
    value = made.tensors[key].copy().reshape(-1)
    value[: int(random.integers(1, 3))] = random.choice([np.nan, np.inf, -np.inf])
    return changed(made, key, value.reshape(made.tensors[key].shape))


def set_alpha(made: Made, random: Random) -> Made:
    layer = str(random.choice(sorted(made.layers)))
    alpha = random.choice([0.0, -2.0, 1e-3, 1e4, np.nan, np.inf, 16.0])
    shape = [(), (1,), (1, 1)][random.integers(3)]
    return changed(made, f"{layer}.alpha", np.full(shape, alpha))


def set_metadata(made: Made, random: Random) -> Made:
    return replace(made, metadata={**made.metadata, **METADATA[random.integers(len(METADATA))]})


def nothing(made: Made, random: Random) -> Made:
    return made


MUTATIONS: tuple[Mutation, ...] = (
    nothing, drop_key, drop_layers, rename_key, add_key, add_kind, reshape, widen, spoil_value, set_alpha, set_metadata
)  # fmt: skip
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


def write_mutated(made: Made, random: Random, path: Path) -> Path:
    """Write an adapter after up to two mutations, in any dtype; now and then with broken bytes."""
    for _ in range(random.integers(3)):
        if made.tensors:
            made = MUTATIONS[random.integers(len(MUTATIONS))](made, random)
    made.write(path, DTYPES[random.integers(len(DTYPES))])
    if random.random() < 0.1:
        path.write_bytes(broken(path.read_bytes(), random))
    return path


def broken(raw: bytes, random: Random) -> bytes:
    """Cut off, or some bytes of the header overwritten."""
    if random.random() < 0.5:
        return raw[: random.integers(len(raw))]
    place = int(random.integers(min(len(raw), 400)))
    return raw[:place] + random.bytes(4) + raw[place + 4 :]
