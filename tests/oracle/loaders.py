"""The same file, merged by this project and by diffusers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.errors import AdapterLoadFailed
from tests.oracle.expected import Layers
from tests.oracle.file import Array, read_file
from tests.oracle.judge import Outcome, Verdict, judge, restored, weights_of
from tests.support.adapters import prepared_with
from workers.adapters.shell import LoaderShell
from workers.swap.engine import MergeEngine


class Project:
    """A pipeline with this project's engine, used for one file after another."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.base: dict[str, Array] = weights_of(pipeline)
        self._shell = LoaderShell(pipeline)
        self._engine = MergeEngine(pipeline)

    def judge(self, path: Path, layers: Layers, strength: float = 1.0) -> Outcome:
        """Merge a file, hold the weights against the oracle, and take it out again.

        Raises:
            AssertionError: the base is not what it was, bit by bit.
        """
        try:
            adapter = prepared_with(self._shell, path, strength)
            self._engine.swap((adapter,))
        except AdapterLoadFailed as error:
            outcome = Outcome(Verdict.REFUSED, str(error))
        else:
            got, left_out = weights_of(self.pipeline), tuple(adapter.parsed.unmatched)
            outcome = judge(self.base, got, read_file(path), layers, strength=strength, left_out=left_out)
        self._engine.swap(())
        assert restored(self.pipeline, self.base), f"the base has changed for good: {outcome}"
        return outcome

    @contextmanager
    def merged(self, path: Path) -> Iterator[None]:
        """The pipeline with an adapter."""
        self._engine.swap((prepared_with(self._shell, path),))
        yield
        self._engine.swap(())


def judge_diffusers(pipeline: Any, path: Path, layers: Layers) -> Outcome:
    """Let diffusers load and fuse a file into a pipeline of its own, and hold the weights against the oracle."""
    base = weights_of(pipeline)
    try:
        pipeline.load_lora_weights(path.parent, weight_name=path.name, adapter_name="adapter")
        parts = [name for name in pipeline._lora_loadable_modules if has_adapter(getattr(pipeline, name, None))]
        pipeline.fuse_lora(components=parts)
        pipeline.unload_lora_weights()
    except Exception as error:  # noqa: BLE001 - a loader that breaks is a result here
        return Outcome(Verdict.REFUSED, f"{type(error).__name__}: {error}")
    return judge(base, weights_of(pipeline), read_file(path), layers)


def has_adapter(component: Any) -> bool:
    """Return whether diffusers has put an adapter into this component."""
    return bool(getattr(component, "peft_config", None))
