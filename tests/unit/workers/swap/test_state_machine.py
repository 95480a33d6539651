"""Whatever swaps, failures and returns come in whatever order: the way back to the base is exact."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tasks.errors import AdapterLoadFailed
from tests.support.adapters import prepared_with
from tests.support.loras import as_kohya, random_lora, write
from tests.support.pipelines import build
from workers.adapters.shell import LoaderShell
from workers.swap.engine import MergeEngine, PreparedAdapter, mergeable_weights
from workers.swap.kernel import Merge, MergeKernel

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]


def good_adapters(pipeline: Any, shell: LoaderShell, folder: Path) -> list[PreparedAdapter]:
    """Adapters that touch different sets of weights, one of which only diffusers' own loader can take."""
    states = [random_lora(pipeline, seed=seed, rank=2 * seed + 2) for seed in range(3)]
    states.append(as_kohya(states[0]))
    states.append({key: value for key, value in states[1].items() if key.startswith("text_encoder")})
    dora = {key: value for key, value in states[2].items() if ".attn1." in key}
    for key in [key for key in dora if key.endswith("to_q.lora_B.weight")]:
        dora[key.replace("lora_B.weight", "lora_magnitude_vector")] = torch.ones(dora[key].shape[0])
    states.append(dora)
    paths = [write(state, folder / f"good{number}.safetensors") for number, state in enumerate(states)]
    return [prepared_with(shell, path) for path in paths]


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


class Swaps(RuleBasedStateMachine):
    """One engine, driven at random."""

    dtype = torch.float32

    @initialize()
    def load(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.pipeline = build("sd15", self.dtype)
        self.engine = MergeEngine(self.pipeline)
        self.shell = LoaderShell(self.pipeline)
        self.loaded = {name: weight.clone() for name, weight in mergeable_weights(self.pipeline).items()}
        self.good = good_adapters(self.pipeline, self.shell, Path(self.folder.name))
        self.bad = bad_files(self.pipeline, Path(self.folder.name))

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(places=st.lists(st.integers(0, 5), max_size=3, unique=True), scale=st.sampled_from([-1.0, 0.3, 2.0]))
    def swap(self, places: list[int], scale: float) -> None:
        wanted = tuple(self.with_scale(self.good[place], scale) for place in places)
        self.engine.swap(wanted)
        assert self.engine.merged == wanted

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

    @rule(place=st.integers(0, 4), after=st.integers(0, 30))
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

        def fails_after_a_while(*_: Any) -> None:
            if next(countdown) == after:
                raise torch.OutOfMemoryError

        patch.setattr("workers.swap.rewrite.rewrite_by_products", fails_after_a_while)

    @invariant()
    def what_is_not_merged_is_untouched(self) -> None:
        if hasattr(self, "engine"):
            unmerged = self.engine.unmerged(self.engine.weights)
            assert [name for name in self.loaded if not torch.equal(unmerged[name], self.loaded[name])] == []

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

        patch.setattr(MergeKernel, "run", runs_a_while)


for machine in (Swaps, SwapsInBfloat16):
    machine.TestCase.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
TestSwaps = Swaps.TestCase
TestSwapsInBfloat16 = SwapsInBfloat16.TestCase
