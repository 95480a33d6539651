"""Files with a header that is random, or lies: an adapter is described and parsed, or refused with our own error."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.adapters.file.safetensors import read_header
from tasks.adapters.passport.fit import Verdict, fit
from tasks.adapters.passport.layers import layers_of
from tasks.base_models.shapes import BaseShapes
from tasks.errors import AdapterLoadFailed, AdapterNotUsable
from tests.support.base_models import served_model
from tests.support.pipelines import build
from workers.adapters.parser import parse_adapter
from workers.adapters.shapes import shapes_of
from workers.adapters.shell import LoaderShell

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

BOUNDED = settings(max_examples=100, deadline=None, database=None)

MODULE = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
FITTING = [f"{MODULE}.lora_A.weight", f"{MODULE}.lora_B.weight"]
SHAPES = st.sampled_from([[4, 64], [64, 4], [0, 64], [64, 0], [64], [], [4, 64, 1, 1]])
"""Those that fit this module of 64 x 64, and some that nearly do."""
NAMES = st.sampled_from(
    [
        *(f"{MODULE}.{kind}" for kind in ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector", "alpha")),
        *(f"{MODULE}.lora_B.bias", f"{MODULE}.processor.to_q_lora.down.weight", "unet.lora_A.weight"),
        *("lora_unet_mid_block_attentions_0.lora_down.weight", "lora_te_x.alpha", "lora_unet_x.hada_w1_a"),
        *("text_encoder.lora_A.weight", "lokr_w1", "__metadata__", "", ".", "\0"),
    ]
) | st.text(max_size=20)
SIZES = st.integers(0, 64) | st.sampled_from([-1, 2**31, 2**53, 2**63, 2**64 - 1, 50 << 30])
JSON = st.recursive(
    st.none() | st.booleans() | SIZES | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=5,
)
TENSORS = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "F4", "U8", "nonsense"]),
        "shape": st.lists(SIZES, max_size=5),
        "data_offsets": st.tuples(SIZES, SIZES) | st.lists(SIZES, max_size=3),
    }
)
HEADERS = st.dictionaries(NAMES, TENSORS | JSON, max_size=6).map(lambda header: json.dumps(header).encode())


@st.composite
def lying_files(draw: st.DrawFn) -> bytes:
    """A header, a length that may be another, and data that may be too short or too long."""
    header = draw(HEADERS | st.binary(max_size=200))
    length = draw(st.just(len(header)) | SIZES.map(lambda size: size % 2**64))
    return struct.pack("<Q", length) + header + draw(st.binary(max_size=64))


@st.composite
def whole_files(draw: st.DrawFn) -> bytes:
    """A file that safetensors takes, whose tensors have other names, shapes and types than a pipeline wants."""
    header: dict[str, object] = {"__metadata__": draw(st.dictionaries(st.text(max_size=8), st.text(max_size=8)))}
    offset = 0
    others = NAMES.filter(lambda name: name not in {"__metadata__", *FITTING})
    fitting = draw(st.sampled_from([[], FITTING, FITTING[:1]]))
    for name in [*fitting, *draw(st.lists(others, unique=True, max_size=3))]:
        dtype, width = draw(st.sampled_from([("F32", 4), ("F16", 2), ("I64", 8), ("BOOL", 1), ("F64", 8)]))
        shape = draw(SHAPES | st.lists(st.integers(0, 8), max_size=4))
        size = width
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + draw(st.sampled_from([b"\0", b"\1", b"\xff"])) * offset


FILES = lying_files() | whole_files()


@pytest.fixture(scope="module")
def shell() -> LoaderShell:
    return LoaderShell(build("sd15"))


@pytest.fixture(scope="module")
def shapes(shell: LoaderShell) -> BaseShapes:
    return shapes_of(served_model("sd15", "some/model"), shell)


def on_disk(content: bytes, use: Callable[[Path], object]) -> None:
    """Give ``use`` a file with this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter.safetensors"
        path.write_bytes(content)
        use(path)


@BOUNDED
@given(content=FILES)
def test_a_header_is_read_or_refused(content: bytes) -> None:
    def read(path: Path) -> None:
        with suppress(AdapterNotUsable):
            read_header(path)

    on_disk(content, read)


@BOUNDED
@given(content=FILES)
def test_an_adapter_is_parsed_or_refused(shell: LoaderShell, content: bytes) -> None:
    def parse(path: Path) -> None:
        with suppress(AdapterLoadFailed):
            parse_adapter(shell, path, "noise")

    on_disk(content, parse)


@BOUNDED
@given(content=FILES)
def test_no_adapter_is_rejected_unseen_that_a_worker_would_take(
    shell: LoaderShell, shapes: BaseShapes, content: bytes
) -> None:
    def judge(path: Path) -> None:
        with suppress(AdapterNotUsable):
            layers = layers_of(read_header(path).shapes)
            if not layers.has_factors or fit(layers, shapes).verdict is Verdict.REJECTED:
                with pytest.raises(AdapterLoadFailed):
                    parse_adapter(shell, path, "noise")

    on_disk(content, judge)
