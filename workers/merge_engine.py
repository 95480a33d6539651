"""The swap: from one adapter set merged into the base model to another.

Here diffusers does the work: an adapter is put beside the weights as PEFT layers and taken away again, so the base
weights are never written and the base never drifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline
from safetensors import SafetensorError

from tasks.adapters import ResolvedAdapter
from tasks.errors import AdapterLoadFailed


@dataclass(frozen=True)
class PreparedAdapter:
    """An adapter whose file is on this machine, and how strongly to merge it."""

    adapter: ResolvedAdapter
    path: Path
    scale: float


AdapterSet = tuple[PreparedAdapter, ...]


class MergeEngine:
    """Keeps one adapter set merged into a pipeline. Not thread-safe: its caller holds the pipeline's lock."""

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        self._pipeline: Any = pipeline
        self._merged: AdapterSet = ()

    @property
    def merged(self) -> AdapterSet:
        """The set that the pipeline draws with now."""
        return self._merged

    def swap(self, wanted: AdapterSet) -> None:
        """Make ``wanted`` the merged set. After a failure the merged set is empty, on a pristine base.

        Raises:
            AdapterLoadFailed: an adapter does not fit this base model, or its file is broken.
        """
        if wanted == self._merged:
            return
        self._restore()
        names = []
        try:
            for number, prepared in enumerate(wanted):
                names.append(f"adapter_{number}")
                self._load(prepared, names[-1])
            if names:
                self._pipeline.set_adapters(names, [prepared.scale for prepared in wanted])
        except BaseException:
            self._restore()
            raise
        self._merged = wanted

    def _load(self, prepared: PreparedAdapter, name: str) -> None:
        ref = prepared.adapter.ref
        try:
            self._pipeline.load_lora_weights(prepared.path.parent, weight_name=prepared.path.name, adapter_name=name)
        except (SafetensorError, OSError) as error:
            raise AdapterLoadFailed(f"The file of adapter {ref!r} is broken: {error}. Upload it again.") from error
        except (RuntimeError, ValueError, KeyError) as error:
            raise AdapterLoadFailed(f"Adapter {ref!r} was not made for this base model: {first_line(error)}") from error
        if not any(name in loaded for loaded in self._pipeline.get_list_adapters().values()):
            raise AdapterLoadFailed(f"Adapter {ref!r} was not made for this base model: no key of it fits.")

    def _restore(self) -> None:
        """Back to the pristine base."""
        self._merged = ()
        self._pipeline.unload_lora_weights()


def first_line(error: BaseException) -> str:
    """The start of an exception's text, short enough for a job's record."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
