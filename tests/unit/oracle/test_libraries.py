"""The oracle of the adapter tests, held against the libraries that write each format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lycoris.modules import (
    ButterflyOFTModule,
    DiagOFTModule,
    FullModule,
    GLoRAModule,
    IA3Module,
    LoConModule,
    LohaModule,
    LokrModule,
    NormModule,
)
from peft import IA3Config, LoHaConfig, LoKrConfig, LoraConfig, get_peft_model

from tests.oracle.expected import Rows, expected
from tests.oracle.file import AdapterFile, Array, read_file

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # both libraries warn of torch
]

LAYERS: Mapping[str, Callable[[], torch.nn.Module]] = {
    "linear": lambda: torch.nn.Linear(12, 32),
    "square": lambda: torch.nn.Linear(16, 16),
    "convolution": lambda: torch.nn.Conv2d(8, 16, 3, padding=1),
}
MODULES: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "LoCon": (LoConModule, {"lora_dim": 4, "alpha": 2}),
    "LoCon, rsLoRA": (LoConModule, {"lora_dim": 4, "alpha": 2, "rs_lora": True}),
    "LoCon, alpha 0": (LoConModule, {"lora_dim": 4, "alpha": 0}),
    "LoCon, Tucker": (LoConModule, {"lora_dim": 4, "alpha": 1, "use_tucker": True}),
    "LoCon, DoRA on outputs": (LoConModule, {"lora_dim": 4, "alpha": 3, "weight_decompose": True}),
    "LoCon, DoRA on inputs": (LoConModule, {"lora_dim": 4, "weight_decompose": True, "wd_on_out": False}),
    "LoHa": (LohaModule, {"lora_dim": 3, "alpha": 1}),
    "LoHa, Tucker": (LohaModule, {"lora_dim": 3, "alpha": 2, "use_tucker": True}),
    "LoHa, DoRA": (LohaModule, {"lora_dim": 3, "alpha": 1, "weight_decompose": True}),
    "LoKr, second factor whole": (LokrModule, {"lora_dim": 100, "alpha": 1, "factor": 4}),
    "LoKr, second factor a product": (LokrModule, {"lora_dim": 1, "alpha": 3, "factor": 2}),
    "LoKr, both factors products": (LokrModule, {"lora_dim": 1, "alpha": 2, "factor": 4, "decompose_both": True}),
    "LoKr, Tucker": (LokrModule, {"lora_dim": 1, "alpha": 1, "factor": 2, "use_tucker": True}),
    "LoKr, DoRA": (LokrModule, {"lora_dim": 1, "alpha": 1, "factor": 2, "weight_decompose": True}),
    "(IA)3 on outputs": (IA3Module, {}),
    "(IA)3 on inputs": (IA3Module, {"train_on_input": True}),
    "full": (FullModule, {}),
    "OFT": (DiagOFTModule, {"lora_dim": 4}),
    "OFT, limited": (DiagOFTModule, {"lora_dim": 4, "constraint": 0.01}),
    "OFT, rescaled": (DiagOFTModule, {"lora_dim": 4, "rescaled": True}),
    "BOFT": (ButterflyOFTModule, {"lora_dim": 4}),
    "BOFT, rescaled and limited": (ButterflyOFTModule, {"lora_dim": 4, "rescaled": True, "constraint": 0.02}),
    "GLoRA": (GLoRAModule, {"lora_dim": 3, "alpha": 2}),
}
HALVES_ALIKE = {"LoCon", "LoHa", "LoKr, second factor whole", "(IA)3 on inputs", "OFT", "full", "GLoRA"}
"""Formats for which LyCORIS means by a strength what this project means. At strength 0 its DoRA keeps the low-rank
part, and its rescaled rotations the rescaling, where this project draws what no adapter draws; between 0 and 1 its BOFT
turns each stage less."""


def numbers(state: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    return {key: value.detach().double().numpy() for key, value in state.items()}


@torch.no_grad()
def randomised(module: torch.nn.Module) -> None:
    """Give every trained tensor some value; they begin as no change at all."""
    for parameter in module.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.3)
    for name, parameter in module.named_parameters():
        if name in ("dora_scale", "rescale"):
            parameter.abs_().add_(0.5)


@torch.no_grad()
def set_to(layer: torch.nn.Module, weights: Mapping[str, Array]) -> None:
    for name, value in weights.items():
        getattr(layer, name.rpartition(".")[2]).copy_(torch.from_numpy(value))


def state_of(module: torch.nn.Module) -> dict[str, Array]:
    """The tensors of a module as LyCORIS saves them."""
    state = module.state_dict()
    if isinstance(module, FullModule):  # saves the difference to the weight only after it has taken the layer's place
        state = {"diff": module.weight, "diff_b": module.bias}
    return {f"layer.{key}": value for key, value in numbers(state).items()}


def inputs(layer: torch.nn.Module) -> torch.Tensor:
    return torch.randn((5, layer.in_features) if isinstance(layer, torch.nn.Linear) else (2, 8, 5, 5))


def assert_same_outputs(adapted: Any, layer: torch.nn.Module, file: AdapterFile, strength: float) -> None:
    """The layer with the weights that the oracle tells gives what the library's own module gives."""
    sample = inputs(layer)
    with torch.no_grad():
        wanted = adapted(sample)
        unchanged = layer(sample)
        base = {f"m.{key}": value for key, value in numbers(layer.state_dict()).items()}
        set_to(layer, expected(base, [(file, {"layer": (Rows("m"),)}, strength)]))
        torch.testing.assert_close(layer(sample), wanted, rtol=2e-4, atol=2e-5)
    assert not torch.allclose(wanted, unchanged, atol=1e-2)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", MODULES)
def test_it_agrees_with_lycoris(name: str, layer: str) -> None:
    torch.manual_seed(0)
    original = LAYERS[layer]()
    module_class, options = MODULES[name]
    for strength in (1.0, 0.5) if name in HALVES_ALIKE else (1.0,):
        module = module_class("layer", original, strength, **options)
        randomised(module)
        assert_same_outputs(module, original, AdapterFile(state_of(module)), strength)


@pytest.mark.parametrize("layer", [torch.nn.LayerNorm(8), torch.nn.GroupNorm(2, 8)], ids=["layer norm", "group norm"])
def test_it_agrees_with_lycoris_on_norms(layer: Any) -> None:
    module = NormModule("layer", layer, 0.5)
    randomised(module)
    sample = torch.randn(4, 8, 8)

    wanted = module(sample)
    set_to(
        layer,
        expected(
            {f"m.{key}": value for key, value in numbers(layer.state_dict()).items()},
            [(AdapterFile(state_of(module)), {"layer": (Rows("m"),)}, 0.5)],
        ),
    )

    torch.testing.assert_close(layer(sample), wanted)


PEFT = {
    "LoRA": LoraConfig(r=4, lora_alpha=2),
    "rsLoRA": LoraConfig(r=4, lora_alpha=2, use_rslora=True),
    "alpha pattern": LoraConfig(r=4, lora_alpha=2, alpha_pattern={"layer": 12}),
    "bias": LoraConfig(r=4, lora_alpha=2, lora_bias=True),
    "DoRA": LoraConfig(r=4, lora_alpha=2, use_dora=True),
    "LoHa": LoHaConfig(r=3, alpha=2, use_effective_conv2d=False),
    "LoKr": LoKrConfig(r=1, alpha=2),
    "(IA)3 on outputs": IA3Config(feedforward_modules=[]),
    "(IA)3 on inputs": IA3Config(feedforward_modules=["layer"]),
}


@pytest.mark.parametrize(
    ("name", "layer"),
    [(name, layer) for name in PEFT for layer in LAYERS if not (name.startswith("(IA)3") and layer == "convolution")],
)
def test_it_agrees_with_a_checkpoint_of_peft(name: str, layer: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = LAYERS[layer]()
    base = numbers(original.state_dict())
    configuration = PEFT[name]
    configuration.target_modules = ["layer"]
    model = get_peft_model(torch.nn.ModuleDict({"layer": original}), configuration)
    randomised_adapter(model)
    model.save_pretrained(tmp_path)
    file = read_file(tmp_path / "adapter_model.safetensors")
    adapted = model.base_model.model["layer"]
    assert file.config

    sample, plain = inputs(original), LAYERS[layer]()
    wanted = adapted(sample)
    set_to(plain, {**base, **{key.removeprefix("m.layer."): value for key, value in merged(base, file, name).items()}})

    torch.testing.assert_close(plain(sample), wanted, rtol=2e-4, atol=2e-5)


def merged(base: Mapping[str, Array], file: AdapterFile, name: str) -> dict[str, Array]:
    layers = {"base_model.model.layer": (Rows("m.layer"),)}
    return expected({f"m.layer.{key}": value for key, value in base.items()}, [(file, layers, 1.0)])


@torch.no_grad()
def randomised_adapter(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.copy_(
                torch.rand_like(parameter) + 0.5 if "magnitude" in name else torch.randn_like(parameter) * 0.3
            )


def test_every_dtype_of_a_file_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    values = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) * 10
    dtypes = [
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.int64
    ]  # fmt: skip
    written = {str(dtype): values.to(dtype) for dtype in dtypes}
    save_file(written, tmp_path / "all.safetensors", metadata={"alpha": "4"})

    file = read_file(tmp_path / "all.safetensors")

    assert file.metadata == {"alpha": "4"}
    for name, value in written.items():
        np.testing.assert_array_equal(file.tensors[name], value.double().numpy())
