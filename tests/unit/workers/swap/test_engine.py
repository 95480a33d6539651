"""The swap: equal to diffusers' own fuse, exact on the way back, in place, and whole again after any failure."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.errors import AdapterLoadFailed
from tasks.jobs.result import AppliedStrength, SwapWay
from tests.support.adapters import prepared
from tests.support.changes import KINDS, random_adapter
from tests.support.loras import FORMATS, as_kohya, random_lora, with_kohya_s_alphas, write
from tests.support.pipelines import ARCHITECTURES, build
from workers.adapters.parser import parse_adapter
from workers.adapters.shell import LoaderShell
from workers.swap.engine import MergeEngine, mergeable_weights

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

Weights = dict[str, torch.Tensor]

CASES = [
    (architecture, written)
    for architecture in ARCHITECTURES
    for written in FORMATS
    if written == "peft" or architecture in ("sd15", "sdxl")
]


def snapshot(pipeline: Any) -> Weights:
    """A copy of every weight that an adapter may change."""
    return {name: weight.clone() for name, weight in mergeable_weights(pipeline).items()}


def fused_by_diffusers(pipeline: Any, adapters: list[tuple[Path, float]]) -> Weights:
    """What diffusers makes of the adapters on a fresh base."""
    names = [path.stem for path, _ in adapters]
    for path, _ in adapters:
        pipeline.load_lora_weights(path.parent, weight_name=path.name, adapter_name=path.stem)
    pipeline.set_adapters(names, [scale for _, scale in adapters])
    components = [name for name in pipeline._lora_loadable_modules if getattr(pipeline, name, None) is not None]
    pipeline.fuse_lora(components=components, adapter_names=names)
    pipeline.unload_lora_weights()
    return snapshot(pipeline)


def relative_difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    norm = torch.linalg.vector_norm(theirs.double())
    return float(torch.linalg.vector_norm(ours.double() - theirs.double()) / norm) if norm else 0.0


def assert_identical(pipeline: Any, before: Weights) -> None:
    assert [name for name, weight in mergeable_weights(pipeline).items() if not torch.equal(weight, before[name])] == []


@pytest.fixture
def sd15() -> Any:
    return build("sd15")


@pytest.mark.parametrize(("architecture", "written"), CASES)
def test_weights_equal_those_that_diffusers_fuses(architecture: str, written: str, tmp_path: Path) -> None:
    pipeline = build(architecture)
    state = random_lora(pipeline)
    path = write(FORMATS[written](state), tmp_path / "adapter.safetensors")
    before = snapshot(pipeline)

    MergeEngine(pipeline).swap((prepared(pipeline, path, 0.7),))

    if written == "kohya":
        path = write(with_kohya_s_alphas(state), tmp_path / "plain.safetensors")
    theirs = fused_by_diffusers(build(architecture), [(path, 0.7)])
    ours = mergeable_weights(pipeline)
    assert ours.keys() == theirs.keys()
    assert max(relative_difference(ours[name], theirs[name]) for name in ours) < 1e-6
    assert sum(not torch.equal(ours[name], before[name]) for name in ours) >= 8


def test_several_adapters_with_scales_equal_what_diffusers_fuses(sd15: Any, tmp_path: Path) -> None:
    first = write(random_lora(sd15, seed=1), tmp_path / "first.safetensors")
    state = random_lora(sd15, rank=8, seed=2)
    second = write(as_kohya(state), tmp_path / "second.safetensors")
    plain = write(with_kohya_s_alphas(state), tmp_path / "plain.safetensors")

    MergeEngine(sd15).swap((prepared(sd15, first, 0.5), prepared(sd15, second, -1.5)))

    theirs = fused_by_diffusers(build("sd15"), [(first, 0.5), (plain, -1.5)])
    ours = mergeable_weights(sd15)
    assert max(relative_difference(ours[name], theirs[name]) for name in ours) < 1e-6


@pytest.fixture(params=[True, False], ids=["compiled", "torch"])
def with_or_without_compiler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr("workers.swap.engine.load_kernel", lambda: None)


@dataclass(frozen=True)
class HalfPrecision:
    """Adapters for SDXL in half precision, and what diffusers makes of them."""

    dtype: torch.dtype
    adapters: list[tuple[Path, float]]
    truth: Weights
    """In double precision."""
    theirs: float
    """Their distance from it, in half precision."""


@pytest.fixture(scope="module", params=[torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module", params=[(0.7,), (0.5, -1.5)], ids=["one", "two"])
def half_precision(
    dtype: torch.dtype, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> HalfPrecision:
    """Made once for both ways of ours: diffusers takes a second for each."""
    folder = tmp_path_factory.mktemp("half_precision")
    adapters = [
        (write(random_lora(build("sdxl"), seed=seed, dtype=torch.float16), folder / f"{seed}.safetensors"), scale)
        for seed, scale in enumerate(request.param)
    ]
    truth = fused_by_diffusers(build("sdxl", dtype).to(torch.float64), adapters)
    theirs = distance(fused_by_diffusers(build("sdxl", dtype), adapters), truth)
    return HalfPrecision(dtype, adapters, truth, theirs)


@pytest.mark.usefixtures("with_or_without_compiler")
def test_half_precision_is_no_further_from_the_truth_than_diffusers(half_precision: HalfPrecision) -> None:
    pipeline = build("sdxl", half_precision.dtype)

    MergeEngine(pipeline).swap(tuple(prepared(pipeline, path, scale) for path, scale in half_precision.adapters))

    assert distance(mergeable_weights(pipeline), half_precision.truth) <= half_precision.theirs


def distance(weights: Weights, truth: Weights) -> float:
    return math.sqrt(sum(float(torch.sum((weights[name].double() - truth[name]) ** 2)) for name in truth))


def test_a_swap_from_one_to_another_leaves_nothing_of_the_first(sd15: Any, tmp_path: Path) -> None:
    first = write(random_lora(sd15, seed=1), tmp_path / "first.safetensors")
    second = write(random_lora(sd15, seed=2), tmp_path / "second.safetensors")
    direct = build("sd15")
    MergeEngine(direct).swap((prepared(direct, second),))
    engine = MergeEngine(sd15)

    engine.swap((prepared(sd15, first),))
    engine.swap((prepared(sd15, second),))

    assert_identical(sd15, snapshot(direct))


def test_going_back_leaves_every_weight_bit_identical(sd15: Any, tmp_path: Path) -> None:
    before = snapshot(sd15)
    engine = MergeEngine(sd15)

    for seed in range(5):
        path = write(random_lora(sd15, seed=seed), tmp_path / f"adapter{seed}.safetensors")
        engine.swap((prepared(sd15, path, 3.0),))
    engine.swap(())

    assert_identical(sd15, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_layers_are_copied_before_the_first_swap_and_the_others_at_the_first_touch(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    pipeline = build("sd15", dtype)
    engine = MergeEngine(pipeline)
    at_first = set(engine.pristine._copies)

    engine.swap((prepared(pipeline, write(random_lora(pipeline), tmp_path / "adapter.safetensors")),))

    assert at_first == {
        name for name in mergeable_weights(pipeline) if re.search(r"attn\d\.to_\w+(\.0)?\.weight$", name)
    }
    assert set(engine.pristine._copies) - at_first


def test_weights_stay_in_their_storage(sd15: Any, tmp_path: Path) -> None:
    path = write(random_lora(sd15), tmp_path / "adapter.safetensors")
    addresses = {name: weight.data_ptr() for name, weight in sd15.unet.named_parameters()}

    MergeEngine(sd15).swap((prepared(sd15, path),))

    assert {name: weight.data_ptr() for name, weight in sd15.unet.named_parameters()} == addresses


def test_a_compiled_denoiser_is_not_compiled_again(sd15: Any, tmp_path: Path) -> None:
    wanted = [
        (prepared(sd15, write(random_lora(sd15, seed=seed), tmp_path / f"adapter{seed}.safetensors")),)
        for seed in range(2)
    ]
    inputs = (torch.ones(1, 4, 16, 16), torch.tensor(10), torch.ones(1, 5, 32))
    engine = MergeEngine(sd15)
    sd15.unet.compile(backend="aot_eager")  # recompiling is up to dynamo; the default backend wants a C++ compiler
    with torch.no_grad():
        sd15.unet(*inputs)
        with torch._dynamo.config.patch(error_on_recompile=True):
            for number in range(10):
                engine.swap(wanted[number % 2])
                compiled = sd15.unet(*inputs).sample
                plain = sd15.unet.forward(*inputs).sample
                assert torch.allclose(compiled, plain, atol=1e-5)


def test_weights_in_channels_last_are_merged_alike(sd15: Any, tmp_path: Path) -> None:
    path = write(random_lora(sd15), tmp_path / "adapter.safetensors")
    rows = build("sd15")
    MergeEngine(rows).swap((prepared(rows, path),))
    sd15.unet.to(memory_format=torch.channels_last)

    MergeEngine(sd15).swap((prepared(sd15, path),))

    expected, ours = mergeable_weights(rows), mergeable_weights(sd15)
    assert max(relative_difference(ours[name], expected[name]) for name in ours) < 1e-6


def test_the_merged_set_is_not_merged_again(sd15: Any, tmp_path: Path) -> None:
    wanted = (prepared(sd15, write(random_lora(sd15), tmp_path / "adapter.safetensors")),)
    engine = MergeEngine(sd15)

    assert engine.swap(wanted) is SwapWay.MERGED
    assert engine.swap(wanted) is SwapWay.KEPT


def test_biases_are_shifted(sd15: Any, tmp_path: Path) -> None:
    state = random_lora(sd15)
    name = next(key.partition(".lora_A")[0] for key in state if key.endswith("to_out.0.lora_A.weight"))
    bias = sd15.get_submodule(name).bias if hasattr(sd15, "get_submodule") else sd15.unet.get_submodule(name[5:]).bias
    state[f"{name}.lora_B.bias"] = torch.ones_like(bias)
    expected = bias.detach() + 0.5

    MergeEngine(sd15).swap((prepared(sd15, write(state, tmp_path / "adapter.safetensors"), 0.5),))

    assert torch.equal(bias, expected)


def test_a_receipt_says_what_the_adapter_did(sd15: Any, tmp_path: Path) -> None:
    state = random_lora(sd15)
    state["unet.nowhere.lora_A.weight"] = torch.zeros(4, 8)
    path = write(state, tmp_path / "adapter.safetensors")
    before = snapshot(sd15)
    engine = MergeEngine(sd15)

    adapter = prepared(sd15, path, -2.0)
    engine.swap((adapter,))

    receipt = engine.receipt(adapter)
    after = mergeable_weights(sd15)
    changed = [name for name in after if not torch.equal(after[name], before[name])]
    change = sum(float(torch.sum((after[name] - before[name]) ** 2)) for name in changed) ** 0.5
    base = sum(float(torch.sum(before[name] ** 2)) for name in changed) ** 0.5
    assert receipt.matched == len(changed)
    assert receipt.unmatched == {"unet.nowhere.lora_A.weight": "this base model has no layer of this name"}
    assert receipt.strength == AppliedStrength(lowest=-2, highest=-2, alphas_from=("nowhere",))
    assert receipt.relative_change == pytest.approx(change / base, rel=1e-4)


def test_dora_is_merged_and_taken_back(sd15: Any, tmp_path: Path) -> None:
    state = {key: value for key, value in random_lora(sd15).items() if key.startswith("unet.") and "conv" not in key}
    for key in [key for key in state if key.endswith("to_q.lora_B.weight")]:
        state[key.replace("lora_B.weight", "lora_magnitude_vector")] = torch.ones(state[key].shape[0])
    before = snapshot(sd15)
    wanted = (prepared(sd15, write(state, tmp_path / "adapter.safetensors")),)
    engine = MergeEngine(sd15)

    assert engine.swap(wanted) is SwapWay.MERGED
    weight = next(weight for name, weight in mergeable_weights(sd15).items() if name.endswith("to_q.weight"))
    norms = torch.linalg.vector_norm(weight, dim=1)
    assert torch.allclose(norms, torch.ones_like(norms))

    engine.swap(())
    assert_identical(sd15, before)


@pytest.fixture(scope="module")
def bases() -> dict[torch.dtype, Any]:
    """Pipelines that every test leaves as they were loaded."""
    return {dtype: build("sd15", dtype) for dtype in (torch.float32, torch.bfloat16, torch.float16)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_receipt_says_what_each_kind_of_change_did(
    kind: str, dtype: torch.dtype, bases: dict[torch.dtype, Any]
) -> None:
    weights = dict(itertools.islice(mergeable_weights(bases[dtype]).items(), 6))
    before = {name: weight.double() for name, weight in weights.items()}
    engine = MergeEngine(bases[dtype])
    adapter = random_adapter(kind, weights, -2.0)
    exact = {name: -2.0 * changes[0].delta(before[name]) for name, changes in adapter.parsed.changes.items()}

    engine.swap((adapter,))
    receipt = engine.receipt(adapter)
    read_again = engine.receipt(random_adapter(kind, weights, -2.0))
    engine.swap(())

    change, base = (math.sqrt(sum(float((one**2).sum()) for one in all_of.values())) for all_of in (exact, before))
    assert receipt.matched == len(weights)
    assert receipt.relative_change == pytest.approx(change / base, rel=1e-3)
    assert read_again == receipt
    assert all(torch.equal(weight.double(), before[name]) for name, weight in weights.items())


def test_a_receipt_is_whole_however_many_other_adapters_were_merged_before(
    bases: dict[torch.dtype, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.swap.engine.KEPT_NORMS", 2)
    weights = dict(itertools.islice(mergeable_weights(bases[torch.float32]).items(), 2))
    engine = MergeEngine(bases[torch.float32])
    adapters = [random_adapter("dora", weights, seed=seed) for seed in range(4)]
    engine.swap((adapters[0],))
    first = engine.receipt(adapters[0])

    engine.swap((adapters[1],))
    engine.swap((adapters[0], adapters[2]))

    assert engine.receipt(adapters[0]) == first
    engine.swap(())


@pytest.mark.parametrize("kind", ["dora", "oft", "lora"])
def test_at_scale_0_nothing_is_changed(kind: str, bases: dict[torch.dtype, Any]) -> None:
    weights = mergeable_weights(bases[torch.float32])
    before = {name: weight.clone() for name, weight in weights.items()}
    engine = MergeEngine(bases[torch.float32])
    adapter = random_adapter(kind, weights, 0.0)

    engine.swap((adapter,))

    assert all(torch.equal(weight, before[name]) for name, weight in weights.items())
    assert engine.receipt(adapter).relative_change == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_overflows_is_refused_whatever_its_kind(kind: str, bases: dict[torch.dtype, Any]) -> None:
    weights = dict(itertools.islice(mergeable_weights(bases[torch.float16]).items(), 3))
    before = {name: weight.clone() for name, weight in weights.items()}
    engine = MergeEngine(bases[torch.float16])

    with pytest.raises(AdapterLoadFailed, match="too large to be numbers"):
        engine.swap((random_adapter(kind, weights, 1e9),))

    assert all(torch.equal(weight, before[name]) for name, weight in weights.items())


def test_a_failure_in_the_middle_of_a_merge_leaves_the_pristine_base(
    sd15: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (prepared(sd15, write(random_lora(sd15, seed=1), tmp_path / "first.safetensors")),)
    second = (prepared(sd15, write(random_lora(sd15, seed=2), tmp_path / "second.safetensors")),)
    before = snapshot(sd15)
    engine = MergeEngine(sd15)
    engine.swap(first)
    calls = iter(range(20))

    def fails_half_way(*arguments: Any) -> None:
        if next(calls) == 10:
            raise torch.OutOfMemoryError

    monkeypatch.setattr("workers.swap.rewrite.rewrite_by_products", fails_half_way)
    with pytest.raises(torch.OutOfMemoryError):
        engine.swap(second)

    assert engine.merged == ()
    assert_identical(sd15, before)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda tensor: tensor * float("nan"), "not finite numbers"),
        (lambda tensor: tensor * float("inf"), "not finite numbers"),
        (lambda tensor: torch.cat([tensor, tensor], dim=1), "not made for this base model"),
    ],
)
def test_a_bad_tensor_is_refused_before_any_weight_changes(sd15: Any, tmp_path: Path, spoil: Any, message: str) -> None:
    state = random_lora(sd15)
    key = next(key for key in state if key.endswith("to_q.lora_A.weight"))
    state[key] = spoil(state[key])

    with pytest.raises(AdapterLoadFailed, match=message):
        prepared(sd15, write(state, tmp_path / "adapter.safetensors"))


def test_half_a_product_is_refused(sd15: Any, tmp_path: Path) -> None:
    state = random_lora(sd15)
    del state[next(key for key in state if key.endswith("to_q.lora_B.weight"))]

    with pytest.raises(AdapterLoadFailed, match="lacks"):
        prepared(sd15, write(state, tmp_path / "adapter.safetensors"))


def test_a_truncated_file_is_refused(sd15: Any, tmp_path: Path) -> None:
    path = write(random_lora(sd15), tmp_path / "adapter.safetensors")
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(AdapterLoadFailed, match="broken"):
        prepared(sd15, path)


def test_an_adapter_of_another_architecture_is_refused(sd15: Any, tmp_path: Path) -> None:
    path = write(random_lora(build("flux")), tmp_path / "adapter.safetensors")

    with pytest.raises(AdapterLoadFailed, match="not made for this base model"):
        prepared(sd15, path)


def test_a_control_lora_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    flux = build("flux")
    plain = random_lora(flux)
    wider = {
        "transformer.x_embedder.lora_A.weight": torch.ones(4, 8),
        "transformer.x_embedder.lora_B.weight": torch.ones(32, 4),
    }
    shell = LoaderShell(flux)

    with pytest.raises(AdapterLoadFailed, match="changes the shape"):
        parse_adapter(shell, write({**plain, **wider}, tmp_path / "control.safetensors"), "control")

    changes = parse_adapter(shell, write(plain, tmp_path / "plain.safetensors"), "plain").changes
    assert 2 * len(changes) == len(plain)


def test_reading_an_adapter_does_not_touch_the_pipeline(sd15: Any, tmp_path: Path) -> None:
    before, modules = snapshot(sd15), [name for name, _ in sd15.unet.named_modules()]

    prepared(sd15, write(random_lora(sd15), tmp_path / "adapter.safetensors"))

    assert_identical(sd15, before)
    assert [name for name, _ in sd15.unet.named_modules()] == modules
    assert not hasattr(sd15.unet, "peft_config")


def test_a_merge_that_overflows_is_refused_and_leaves_the_pristine_base(sd15: Any, tmp_path: Path) -> None:
    strong = {key: torch.full_like(value, 1e25) for key, value in random_lora(sd15).items()}
    path = write(strong, tmp_path / "strong.safetensors")
    before = snapshot(sd15)
    engine = MergeEngine(sd15)

    with pytest.raises(AdapterLoadFailed, match=r"at 0\.5 changes .* too large to be numbers\. Lower the scale"):
        engine.swap((prepared(sd15, path, 0.5),))

    assert_identical(sd15, before)
    assert engine.merged == ()
