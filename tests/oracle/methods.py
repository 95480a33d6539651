"""Random tensors of one layer, by each method of changing a weight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.oracle.file import Array

Method = Callable[[np.random.Generator, tuple[int, ...], int], dict[str, Array]]
"""From a source of randomness, the shape of the weight and a rank: tensors by the end of their key."""


def noise(random: np.random.Generator, *shape: int) -> Array:
    return random.normal(size=shape) * 0.2


def window(shape: tuple[int, ...]) -> tuple[int, ...]:
    """1x1 for a convolution, nothing for a matrix."""
    return (1,) * (len(shape) - 2)


def lora(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """sd-scripts' names."""
    down, up = noise(random, rank, *shape[1:]), noise(random, shape[0], rank, *window(shape))
    return {"lora_down.weight": down, "lora_up.weight": up}


def peft_lora(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """peft's names."""
    down, up = lora(random, shape, rank).values()
    return {"lora_A.weight": down, "lora_B.weight": up}


def default_lora(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """peft's names with the adapter's own, as a trainer that saves its whole model leaves them."""
    down, up = lora(random, shape, rank).values()
    return {"lora_A.default.weight": down, "lora_B.default.weight": up}


def bare_lora(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """Names of diffusers before peft, and of XLabs."""
    down, up = lora(random, shape, rank).values()
    return {"down.weight": down, "up.weight": up}


def tucker(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """A core between the factors where the layer is a convolution larger than 1x1."""
    if len(shape) < 4 or shape[2:] == (1, 1):
        return lora(random, shape, rank)
    return {
        "lora_down.weight": noise(random, rank, shape[1], 1, 1),
        "lora_mid.weight": noise(random, rank, rank, *shape[2:]),
        "lora_up.weight": noise(random, shape[0], rank, 1, 1),
    }


def lora_with_bias(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    return {**peft_lora(random, shape, rank), "lora_B.bias": noise(random, shape[0])}


def dora(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """peft's: a magnitude for each output."""
    magnitude = 0.5 + random.random(shape[0])
    stored = magnitude.reshape(1, -1, 1, 1) if len(shape) == 4 else magnitude
    return {**peft_lora(random, shape, rank), "lora_magnitude_vector": stored}


def dora_of_outputs(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """LyCORIS' and OneTrainer's: a magnitude for each output."""
    magnitude = 0.5 + random.random((shape[0], 1, *window(shape)))
    return {**lora(random, shape, rank), "dora_scale": magnitude}


def dora_of_inputs(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """LyCORIS' with ``wd_on_out=False``, and of its first versions: a magnitude for each input."""
    magnitude = 0.5 + random.random((1, shape[1], *window(shape)))
    return {**lora(random, shape, rank), "dora_scale": magnitude}


def loha(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    inputs = int(np.prod(shape[1:]))
    sizes = {"hada_w1_a": (shape[0], rank), "hada_w1_b": (rank, inputs)}
    sizes |= {"hada_w2_a": (shape[0], rank), "hada_w2_b": (rank, inputs)}
    return {name: 2 * noise(random, *size) for name, size in sizes.items()}


def loha_tucker(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """Each half with a core where the layer is a convolution larger than 1x1."""
    if len(shape) < 4 or shape[2:] == (1, 1):
        return loha(random, shape, rank)
    sizes: dict[str, tuple[int, ...]] = {}
    for number in "12":
        sizes[f"hada_t{number}"] = (rank, rank, *shape[2:])
        sizes[f"hada_w{number}_a"] = (rank, shape[0])
        sizes[f"hada_w{number}_b"] = (rank, shape[1])
    return {name: 3 * noise(random, *size) for name, size in sizes.items()}


def divisor(number: int) -> int:
    """The smallest that is more than 1."""
    return next(candidate for candidate in range(2, number + 1) if number % candidate == 0)


def lokr(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """The first factor whole, the second a product."""
    first, second = divisor(shape[0]), divisor(shape[1])
    inputs = int(np.prod(shape[2:])) * (shape[1] // second)
    return {
        "lokr_w1": noise(random, first, second),
        "lokr_w2_a": 2 * noise(random, shape[0] // first, rank),
        "lokr_w2_b": 2 * noise(random, rank, inputs),
    }


def lokr_whole(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """Both factors whole: the alpha that stands beside them counts for nothing."""
    first, second = divisor(shape[0]), divisor(shape[1])
    whole = noise(random, shape[0] // first, shape[1] // second, *shape[2:])
    return {"lokr_w1": noise(random, first, second), "lokr_w2": whole}


def ia3(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """Factors of the inputs, or of the outputs."""
    on_input = bool(random.integers(2))
    factors = noise(random, shape[1] if on_input else shape[0])
    return {
        "weight": factors.reshape(1, -1, 1, 1) if len(shape) == 4 else factors,
        "on_input": np.array(int(on_input), np.int64),
    }


def peft_ia3(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """peft's factors: of the inputs, or of the outputs."""
    on_input = bool(random.integers(2))
    return {"ia3_l": 1 + noise(random, *((1, shape[1]) if on_input else (shape[0], 1)))}


def oft(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """Without a limit, as LyCORIS writes it by default."""
    return {"oft_blocks": noise(random, shape[0] // 4, 4, 4), "alpha": np.array(0.0)}


def boft(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """Two stages."""
    return {"oft_blocks": noise(random, 2, shape[0] // 4, 4, 4), "alpha": np.array(0.0)}


def full(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    return {"diff": noise(random, *shape)}


def full_with_bias(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    return {"diff": noise(random, *shape), "diff_b": noise(random, shape[0])}


def norm(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    return {"w_norm": noise(random, *shape), "b_norm": noise(random, *shape)}


def glora(random: np.random.Generator, shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """LyCORIS' GLoRA."""
    ones = window(shape)
    sizes = {"a1": (shape[1], rank, *ones), "a2": (rank, shape[1], *ones)}
    sizes |= {"b1": (shape[0], rank, *ones), "b2": (rank, *shape[1:])}
    return {f"{name}.weight": noise(random, *size) for name, size in sizes.items()}
