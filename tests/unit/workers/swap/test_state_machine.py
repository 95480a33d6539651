"""Whatever swaps, failures and returns come in whatever order: the way back to the base is exact."""

from __future__ import annotations

import functools
import itertools
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tasks.errors import AdapterLoadFailed
from tests.support.adapters import prepared_with
from tests.support.changes import KINDS, prepared_from, random_adapter
from tests.support.loras import as_kohya, random_lora, write
from tests.support.pipelines import build
from workers.adapters.shell import LoaderShell
from workers.swap.changes import Difference
from workers.swap.engine import MergeEngine, PreparedAdapter, mergeable_weights
from workers.swap.inventory import Inventory
from workers.swap.kernel import Merge, MergeKernel
from workers.swap.parsed_adapter import ParsedAdapter

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]


def good_adapters(pipeline: Any, shell: LoaderShell, folder: Path) -> list[PreparedAdapter]:
    """Adapters that touch different sets of weights: some files, and one of each kind of change."""
    states = [random_lora(pipeline, seed=seed, rank=2 * seed + 2) for seed in range(2)]
    states.append(as_kohya(states[0]))
    states.append({key: value for key, value in states[1].items() if key.startswith("text_encoder")})
    paths = [write(state, folder / f"good{number}.safetensors") for number, state in enumerate(states)]
    weights = {name: weight for name, weight in mergeable_weights(pipeline).items() if MIXED.search(name)}
    mixed = [random_adapter(kind, weights, seed=seed) for seed, kind in enumerate(KINDS)]
    return [*(prepared_with(shell, path) for path in paths), *mixed, several_at_once(weights)]


MIXED = re.compile(r"down_blocks\.1\.(attentions\.0.*(to_q|to_out\.0|ff\.net\.2|norm1|proj_in)|resnets\.0\.conv2)\.")
"""Of the UNet: matrices, convolutions, biases and a norm."""


def several_at_once(weights: Mapping[str, torch.Tensor]) -> PreparedAdapter:
    """An adapter that makes several changes of each weight."""
    kinds = [
        random_adapter(kind, weights, seed=seed).parsed.changes for seed, kind in enumerate(("lora", "dora", "oft"))
    ]
    changes = {name: tuple(change for one in kinds for change in one[name]) for name in weights}
    dtypes = {name: weight.dtype for name, weight in weights.items()}
    return prepared_from("several", ParsedAdapter.packed(changes, dtypes))


def bad_files(pipeline: Any, folder: Path) -> list[Path]:
    """Files that must be refused: not a number, a wrong shape, a missing key, cut off."""
    state = random_lora(pipeline, seed=9)
    key = next(key for key in state if key.endswith("to_q.lora_A.weight"))
    spoiled = [
        {**state, key: state[key] * float("nan")},
        {**state, key: torch.cat([state[key], state[key]], dim=1)},
        {name: value for name, value in state.items() if name != key},
    ]
    paths = [write(bad, folder / f"bad{number}.safetensors") for number, bad in enumerate(spoiled)]
    cut = write(state, folder / "cut.safetensors")
    cut.write_bytes(cut.read_bytes()[:-64])
    return [*paths, cut]


@dataclass(frozen=True)
class Base:
    """A pipeline and adapters for it, made once for all examples."""

    pipeline: Any
    shell: LoaderShell
    loaded: dict[str, torch.Tensor]
    inventory: Inventory
    good: list[PreparedAdapter]
    bad: list[Path]


@functools.cache
def base_of(dtype: torch.dtype) -> Base:
    pipeline = build("sd15", dtype)
    shell = LoaderShell(pipeline)
    folder = Path(tempfile.mkdtemp())
    return Base(
        pipeline=pipeline,
        shell=shell,
        loaded={name: weight.clone() for name, weight in mergeable_weights(pipeline).items()},
        inventory=Inventory.of(pipeline),
        good=good_adapters(pipeline, shell, folder),
        bad=bad_files(pipeline, folder),
    )


PLACES = st.integers(0, 4 + len(KINDS))
"""Of an adapter among the good ones."""


class Swaps(RuleBasedStateMachine):
    """One engine, driven at random."""

    dtype = torch.float32

    @initialize()
    def load(self) -> None:
        self.base = base_of(self.dtype)
        self.pipeline, self.shell, self.loaded = self.base.pipeline, self.base.shell, self.base.loaded
        self.good, self.bad = self.base.good, self.base.bad
        for name, weight in mergeable_weights(self.pipeline).items():
            weight.copy_(self.loaded[name])
        self.engine = MergeEngine(self.pipeline)

    @rule(places=st.lists(PLACES, max_size=3, unique=True), scale=st.sampled_from([-1.0, 0.0, 0.3, 2.0]))
    def swap(self, places: list[int], scale: float) -> None:
        wanted = tuple(self.with_scale(self.good[place], scale) for place in places)
        self.engine.swap(wanted)
        assert self.engine.merged == wanted
        self.assert_exact(wanted)

    @rule()
    def go_back(self) -> None:
        self.engine.swap(())
        self.assert_pristine()

    @rule(place=st.integers(0, 3))
    def refuse(self, place: int) -> None:
        merged = self.engine.merged
        with pytest.raises(AdapterLoadFailed):
            prepared_with(self.shell, self.bad[place])
        assert self.engine.merged == merged

    @rule(places=st.lists(PLACES, max_size=2, unique=True))
    def overflow(self, places: list[int]) -> None:
        name = next(name for name in self.loaded if MIXED.search(name))
        huge = Difference(torch.full_like(self.loaded[name], 3e38, dtype=torch.float32))
        bad = prepared_from("huge", ParsedAdapter({name: (huge,)}, memory=huge.value), 7.0)
        with pytest.raises(AdapterLoadFailed, match="too large to be numbers"):
            self.engine.swap((*(self.good[place] for place in places), bad))
        assert self.engine.merged == ()
        self.assert_pristine()

    @rule(place=PLACES, after=st.integers(0, 30))
    def run_out_of_memory(self, place: int, after: int) -> None:
        wanted = (self.with_scale(self.good[place], 7.0),)
        with pytest.MonkeyPatch.context() as patch:
            self.fail_to_merge(patch, after)
            try:
                self.engine.swap(wanted)
            except torch.OutOfMemoryError:
                assert self.engine.merged == ()
                self.assert_pristine()
            else:  # it has fewer weights than that; what the broken merge left behind is made good by the next swap
                self.engine.swap(())

    def fail_to_merge(self, patch: pytest.MonkeyPatch, after: int) -> None:
        """Let the next merge fail after so many weights."""
        countdown = itertools.count()

        def fails_after_a_while(*arguments: Any) -> list[torch.Tensor]:
            if next(countdown) == after:
                raise torch.OutOfMemoryError
            return [torch.zeros(()) for _ in arguments[-1]] if len(arguments) > 1 else []

        patch.setattr("workers.swap.rewrite.rewrite_by_products", fails_after_a_while)
        patch.setattr("workers.swap.rewrite.rewrite_in_float32", fails_after_a_while)

    @invariant()
    def what_is_not_merged_is_untouched(self) -> None:
        if hasattr(self, "engine"):
            unmerged = self.engine.unmerged(self.engine.weights)
            assert [name for name in self.loaded if not torch.equal(unmerged[name], self.loaded[name])] == []

    @invariant()
    def the_modules_are_those_that_were_loaded(self) -> None:
        if hasattr(self, "engine"):
            assert self.base.inventory.differences(Inventory.of(self.pipeline)) == []

    def assert_exact(self, adapters: tuple[PreparedAdapter, ...]) -> None:
        """See that every weight is what the changes say in float64, rounded once."""
        exact = {name: weight.double() for name, weight in self.loaded.items()}
        for prepared in adapters:
            for name, changes in prepared.parsed.changes.items():
                for change in changes:
                    exact[name] += prepared.scale * change.delta(self.loaded[name].double())
        precision = torch.finfo(self.dtype).eps
        for name, weight in mergeable_weights(self.pipeline).items():
            assert torch.allclose(weight.double(), exact[name], rtol=precision, atol=1e-5), name

    def with_scale(self, adapter: PreparedAdapter, scale: float) -> PreparedAdapter:
        return PreparedAdapter(adapter.adapter, scale, adapter.path, adapter.sha256, adapter.parsed)

    def assert_pristine(self) -> None:
        now = mergeable_weights(self.pipeline)
        assert now.keys() == self.loaded.keys()
        assert [name for name in now if not torch.equal(now[name], self.loaded[name])] == []


class SwapsInBfloat16(Swaps):
    """The same where the compiled kernel rewrites most of the weights."""

    dtype = torch.bfloat16

    def fail_to_merge(self, patch: pytest.MonkeyPatch, after: int) -> None:
        run = MergeKernel.run

        def runs_a_while(kernel: MergeKernel, merges: Sequence[Merge]) -> None:
            run(kernel, merges[: after + 1])
            raise torch.OutOfMemoryError

        super().fail_to_merge(patch, after)
        patch.setattr(MergeKernel, "run", runs_a_while)


for machine in (Swaps, SwapsInBfloat16):
    machine.TestCase.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
TestSwaps = Swaps.TestCase
TestSwapsInBfloat16 = SwapsInBfloat16.TestCase
