"""A pipeline that is kept warm, and kept honest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from diffusers import SchedulerMixin

from tasks.job import SwapWay
from workers.fingerprint import fingerprints
from workers.loader_shell import LoaderShell
from workers.merge_engine import AdapterSet, MergeEngine

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedBase:
    """A base model as it was loaded, and what works on it.

    Attributes:
        pipeline: the diffusers pipeline.
        scheduler: as it came with the model.
        engine: merges adapters into the pipeline.
        shell: reads adapters for it.
        weights: every weight, by name with the component in front.
        prints: their fingerprints when nothing was merged.
    """

    pipeline: Any
    scheduler: SchedulerMixin
    engine: MergeEngine
    shell: LoaderShell
    weights: Mapping[str, torch.Tensor]
    prints: Mapping[str, int]

    @classmethod
    def around(cls, pipeline: Any, pristine_device: torch.device | None) -> Self:
        """What is needed around a pipeline that was just loaded."""
        weights = all_weights(pipeline)
        return cls(
            pipeline=pipeline,
            scheduler=pipeline.scheduler,
            engine=MergeEngine(pipeline, pristine_device),
            shell=LoaderShell(pipeline),
            weights=weights,
            prints=dict(zip(weights, fingerprints(weights.values()), strict=True)),
        )

    def changed(self) -> list[str]:
        """The weights that are not, below what is merged into them, bit for bit what was loaded."""
        now = self.engine.unmerged(self.weights)
        return [
            name for name, number in zip(now, fingerprints(now.values()), strict=True) if number != self.prints[name]
        ]


class WarmPipeline:
    """A base model that is kept loaded, and kept honest.

    Args:
        load: loads the pipeline; called again when the base is found to have changed.
        pristine_device: where pristine copies are kept; None means beside the weights.
        check_every: swaps between two checks that the base is what was loaded.

    Attributes:
        base: the base model as loaded last.
        lock: held by whoever swaps or draws, one job at a time.
        reloads: how often the base had changed and was loaded again.
    """

    def __init__(self, load: Callable[[], Any], *, pristine_device: torch.device | None, check_every: int) -> None:
        self._load = load
        self._pristine_device = pristine_device
        self._check_every = check_every
        self._swaps = 0
        self.lock = threading.Lock()
        self.reloads = 0
        self.base = LoadedBase.around(load(), pristine_device)

    def swap(self, adapters: AdapterSet) -> SwapWay:
        """Make these adapters the merged set, on a base that was checked not many swaps ago.

        Raises:
            AdapterLoadFailed, torch.OutOfMemoryError: as ``MergeEngine.swap`` does.
        """
        if self._swaps >= self._check_every:
            self.check()
        way = self.base.engine.swap(adapters)
        self._swaps += way is not SwapWay.KEPT
        return way

    def check(self) -> bool:
        """Whether the base is bit for bit what was loaded; if it is not, it is loaded again, with nothing merged."""
        self._swaps = 0
        changed = self.base.changed()
        if changed:
            logger.error(
                "%d weights of the base have changed, such as %s: it is loaded again", len(changed), changed[0]
            )
            self.reloads += 1
            del self.base  # first: there may be no room for two
            self.base = LoadedBase.around(self._load(), self._pristine_device)
        return not changed


def all_weights(pipeline: Any) -> dict[str, torch.Tensor]:
    """Every weight of the pipeline, by name with the component in front."""
    return {
        f"{component}.{name}": parameter.detach()
        for component, module in pipeline.components.items()
        if isinstance(module, torch.nn.Module)
        for name, parameter in module.named_parameters()
    }
