"""The swap: from one adapter set merged into the base model to another.

Every weight is computed from its pristine copy, W = W0 + sum of scale * change, in one pass and in place. Nothing is
ever subtracted again, so the base cannot drift (huggingface/diffusers issue 5313), and the storage of the weights stays
the same, so compiled graphs stay valid. Modules and parameters are never added, replaced or taken away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from tasks.adapters.file.identity import ResolvedAdapter
from tasks.errors import AdapterLoadFailed
from tasks.jobs.result import AdapterReceipt, AppliedStrength, SwapWay
from workers.base.pipeline import loadable_components, weights_of
from workers.swap.kernel import load_kernel
from workers.swap.parsed_adapter import ParsedAdapter, Strength
from workers.swap.pristine import PristineWeights
from workers.swap.rewrite import Addition, rewrite


@dataclass(frozen=True)
class PreparedAdapter:
    """An adapter in this machine's memory, and how strongly to merge it."""

    adapter: ResolvedAdapter
    scale: float
    path: Path
    sha256: str
    parsed: ParsedAdapter = field(compare=False, repr=False)


UNMATCHED_SHOWN = 20
"""Keys that a receipt names."""

AdapterSet = tuple[PreparedAdapter, ...]
Plan = Mapping[str, list[Addition]]
"""By weight: what is added to it."""


KEPT_NORMS = 100
"""Adapters whose norms are kept: more than are merged between a swap and the receipt of its job."""


class MergeEngine:
    """Keeps one adapter set merged into a pipeline. Not thread-safe: it is used on the device's thread.

    After a failure the merged set is the empty one, on a pristine base. The weights that most adapters change are
    copied at once: to get memory takes longer than a swap, and it had better be found missing now.

    Raises:
        torch.OutOfMemoryError: there is no room for these pristine copies.
    """

    def __init__(self, pipeline: DiffusionPipeline, pristine_device: torch.device | None = None) -> None:
        self._pipeline: Any = pipeline
        self.weights = mergeable_weights(pipeline)
        self.pristine = PristineWeights(self.weights, pristine_device)
        self.pristine.keep(attention_weights(pipeline))
        self._device: torch.device = pipeline.device
        in_bfloat16 = any(weight.dtype == torch.bfloat16 for weight in self.weights.values())
        self._kernel = load_kernel() if self._device.type == "cpu" and in_bfloat16 else None
        self._merged: AdapterSet = ()
        self._changed: set[str] = set()
        self._norms: dict[str, dict[str, float]] = {}

    @property
    def merged(self) -> AdapterSet:
        """The set that the pipeline draws with now."""
        return self._merged

    def swap(self, adapters: AdapterSet) -> SwapWay:
        """Make ``adapters`` the merged set, and say whether that took a merge.

        Raises:
            AdapterLoadFailed: a merged weight is too large to be a number.
            torch.OutOfMemoryError: there is no room for the pristine copies.
        """
        if adapters == self._merged:
            return SwapWay.KEPT
        try:
            self._merge(plan(adapters, self._device))
            self._refuse_overflow(adapters)
        except BaseException:
            self.restore()
            raise
        self._merged = adapters
        return SwapWay.MERGED

    def restore(self) -> None:
        """Back to the pristine base."""
        self._merged = ()
        self._merge({})

    def unmerged(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """These weights as they are without what is merged: of a changed one the pristine copy, else the weight."""
        return {name: self.pristine[name] if name in self._changed else weight for name, weight in weights.items()}

    def receipt(self, prepared: PreparedAdapter) -> AdapterReceipt:
        """Return what an adapter that was merged did to the weights, whatever is merged by now."""
        parsed = prepared.parsed
        norms = {**parsed.product_norms, **self._norms.get(prepared.sha256, {})} if prepared.scale else {}
        change = sum(norms[name] ** 2 for name in norms) ** 0.5 * abs(prepared.scale)
        before = sum(self.pristine.norm(name) ** 2 for name in parsed.changes) ** 0.5
        return AdapterReceipt(
            ref=prepared.adapter.ref,
            matched=len(parsed.changes),
            unmatched=dict(islice(parsed.unmatched.items(), UNMATCHED_SHOWN)),
            unmatched_count=len(parsed.unmatched),
            strength=applied(parsed.strength, prepared.scale),
            relative_change=change / before if before else None,
        )

    @torch.no_grad()
    def _merge(self, changes: Plan) -> None:
        self.pristine.keep(changes)
        left, self._changed = self._changed - changes.keys(), self._changed | changes.keys()
        for name in left:
            self.weights[name].copy_(self.pristine[name], non_blocking=True)
        norms = rewrite(((self.weights[name], self.pristine[name], changes[name]) for name in changes), self._kernel)
        self._changed = set(changes)
        self._note_norms(changes, norms)

    def _note_norms(self, changes: Plan, norms: Sequence[Sequence[torch.Tensor] | None]) -> None:
        """Keep what was measured for the receipts, of the last adapters that had something to measure."""
        measured = {
            (addition.file, name): norm
            for (name, additions), several in zip(changes.items(), norms, strict=True)
            if several is not None
            for addition, norm in zip(additions, several, strict=True)
        }
        if not measured:
            return
        for file in {file: None for file, _ in measured}:  # those that were measured last are kept longest
            self._norms[file] = self._norms.pop(file, {})
        for (file, name), norm in zip(measured, torch.stack(list(measured.values())).tolist(), strict=True):
            self._norms[file][name] = norm
        for file in list(self._norms)[:-KEPT_NORMS]:
            del self._norms[file]

    def _refuse_overflow(self, adapters: AdapterSet) -> None:
        """See that every merged weight is finite, where the adapters are strong enough for one that is not.

        Raises:
            AdapterLoadFailed: one is not.
        """
        largest = min((torch.finfo(self.weights[name].dtype).max for name in self._changed), default=0.0)
        if sum(map(self._peak, adapters)) < largest / 2:
            return
        broken = (name for name in self._changed if not self.weights[name].isfinite().all())
        if (name := next(broken, None)) is not None:
            strengths = ", ".join(f"{prepared.adapter.ref!r} at {prepared.scale:g}" for prepared in adapters)
            raise AdapterLoadFailed(
                f"Merged into this base model, {strengths} changes {name} to values that are too large to be numbers. "
                "Lower the scale, or train or export the adapter again."
            )

    def _peak(self, prepared: PreparedAdapter) -> float:
        """A bound on what an adapter adds to any value of a weight."""
        norms = (prepared.parsed.peak, *self._norms.get(prepared.sha256, {}).values())
        return math.inf if any(map(math.isnan, norms)) else abs(prepared.scale) * max(norms)


def applied(strength: Strength | None, scale: float) -> AppliedStrength | None:
    """A file's own strength at this scale."""
    if strength is None:
        return None
    ends = sorted((strength.lowest * scale, strength.highest * scale))
    return AppliedStrength(lowest=ends[0], highest=ends[1], alphas_from=strength.alphas_from)


def mergeable_weights(pipeline: Any) -> dict[str, torch.Tensor]:
    """The weights that an adapter may change, by name with the component in front."""
    return weights_of(loadable_components(pipeline))


def attention_weights(pipeline: Any) -> list[str]:
    """The names of the matrices in the denoiser's attention layers, which diffusers knows by their processors."""
    layers = (
        (f"{component}.{name}", layer)
        for component, module in loadable_components(pipeline).items()
        for name, layer in module.named_modules()
        if hasattr(layer, "get_processor")
    )
    return [
        f"{name}.{part}.weight"
        for name, layer in layers
        for part, module in layer.named_modules()
        if type(module) is torch.nn.Linear and module.weight.is_floating_point()
    ]


def plan(adapters: AdapterSet, device: torch.device) -> Plan:
    """Return what is added to which weight of a pipeline on this device; of an adapter at scale 0, nothing."""
    changes: dict[str, list[Addition]] = {}
    for prepared in (prepared for prepared in adapters if prepared.scale):
        for name, several in prepared.parsed.changes_on(device).items():
            changes.setdefault(name, []).append(Addition(prepared.sha256, several, prepared.scale))
    return changes
