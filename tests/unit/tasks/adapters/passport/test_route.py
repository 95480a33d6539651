"""Which base model serves an adapter, from its card, from the shapes, and from what the request asks for."""

from __future__ import annotations

import pytest

from tasks.adapters.file.identity import AdapterSource, FoundAdapter
from tasks.adapters.passport.fit import Verdict
from tasks.adapters.passport.layers import AdapterLayers, layers_of
from tasks.adapters.passport.route import choose_route
from tasks.base_models.shapes import BaseShapes, ModuleShape
from tests.support.base_models import DEMO_AND_SDXL
from tests.support.unet_shapes import SD15, SDXL, modules, unet_shapes

DEMO_ONE, SDXL_ONE = unet_shapes(SD15, "demo/base"), unet_shapes(SDXL, "some/sdxl")
FLUX_ONE = BaseShapes(
    model="some/flux",
    components=("transformer",),
    modules=(
        ModuleShape(name="transformer.single_transformer_blocks.0.attn.to_q", other_names=(), shape=(3072, 3072)),
    ),
)
QWEN_IMAGE = BaseShapes(
    model="some/qwen-image",
    components=("transformer",),
    modules=(ModuleShape(name="transformer.transformer_blocks.0.attn.add_k_proj", other_names=(), shape=(3072, 3072)),),
)
FLUX_LORA = layers_of(
    {
        "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 3072),
        "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": (9216, 4),
    }
)


def lora(width: int) -> AdapterLayers:
    """The layers of a LoRA for a UNet of this cross-attention."""
    shapes = {}
    for name, (outputs, inputs) in modules(width).items():
        shapes[f"{name}.lora_A.weight"], shapes[f"{name}.lora_B.weight"] = (4, inputs), (outputs, 4)
    return layers_of(shapes)


def found(*base_names: str) -> FoundAdapter:
    """An adapter whose card names these base models."""
    return FoundAdapter(
        ref="ada/pixel",
        source=AdapterSource.HUB,
        repository="ada/pixel",
        commit="0" * 40,
        weight_name="pixel.safetensors",
        sha256=None,
        size_bytes=None,
        base_names=base_names,
    )


FITS, UNTOLD, BOTH = (
    {"demo": DEMO_ONE, "sdxl": SDXL_ONE},
    {"demo": None, "sdxl": None},
    {"demo": DEMO_ONE, "sdxl": unet_shapes(SD15, "some/sdxl")},
)
HALF = {"demo": None, "sdxl": SDXL_ONE}
WITH_FLUX = {"demo": DEMO_ONE, "sdxl": FLUX_ONE}
BESIDE_QWEN_IMAGE = {"demo": QWEN_IMAGE, "sdxl": FLUX_ONE}


@pytest.mark.parametrize(
    ("card", "layers", "shapes", "preferred", "base_model", "verdict", "warned"),
    [
        pytest.param("demo", lora(SD15), FITS, None, "demo", Verdict.ACCEPTED, False, id="card and shapes agree"),
        pytest.param("sdxl", lora(SD15), FITS, None, "demo", Verdict.ACCEPTED, True, id="card is wrong"),
        pytest.param("", lora(SD15), FITS, None, "demo", Verdict.ACCEPTED, True, id="card is silent"),
        pytest.param("elsewhere", lora(SD15), FITS, None, "demo", Verdict.ACCEPTED, True, id="card names another"),
        pytest.param("", lora(SDXL), HALF, None, "sdxl", Verdict.ACCEPTED, True, id="one told, and it fits"),
        pytest.param("demo", lora(SD15), UNTOLD, None, "demo", Verdict.UNKNOWN, False, id="nobody has told"),
        pytest.param("demo", lora(SDXL), HALF, None, "demo", Verdict.UNKNOWN, False, id="card's has not told"),
        pytest.param("", lora(SD15), UNTOLD, None, None, Verdict.REJECTED, False, id="nothing to go by"),
        pytest.param("demo", lora(1024), FITS, None, None, Verdict.REJECTED, False, id="fits none"),
        pytest.param("", lora(1024), FITS, None, None, Verdict.REJECTED, False, id="fits none, card is silent"),
        pytest.param("", lora(SD15), BOTH, None, None, Verdict.ACCEPTED, False, id="fits both, card is silent"),
        pytest.param("", lora(SD15), BOTH, "sdxl", "sdxl", Verdict.ACCEPTED, True, id="fits both, request chooses"),
        pytest.param("demo", lora(SD15), BOTH, "sdxl", "sdxl", Verdict.ACCEPTED, True, id="request against card"),
        pytest.param("demo", lora(SD15), FITS, "sdxl", "demo", Verdict.ACCEPTED, False, id="request does not fit"),
        pytest.param("", FLUX_LORA, WITH_FLUX, None, "sdxl", Verdict.UNKNOWN, True, id="the only one of its family"),
        pytest.param("", FLUX_LORA, BESIDE_QWEN_IMAGE, None, "sdxl", Verdict.UNKNOWN, True, id="beside one as wide"),
        pytest.param("demo", layers_of({"a": (2, 2)}), UNTOLD, None, None, Verdict.REJECTED, False, id="no LoRA"),
    ],
)
def test_the_card_decides_the_route_and_the_shapes_have_the_last_word(
    *,
    card: str,
    layers: AdapterLayers,
    shapes: dict[str, BaseShapes | None],
    preferred: str | None,
    base_model: str | None,
    verdict: Verdict,
    warned: bool,
) -> None:
    adapter = found(card) if card else found()

    route = choose_route(adapter, layers, DEMO_AND_SDXL, shapes, preferred)

    assert (route.base_model, route.fit.verdict, bool(route.warnings)) == (base_model, verdict, warned)
    assert route.fit.reason
