"""A pipeline that is kept warm, and kept honest."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from diffusers import SchedulerMixin

from tasks.errors import ConfigurationError, OutOfMemory
from tasks.jobs.result import BaseReceipt, SwapWay
from workers.base.device import memory_errors
from workers.base.device_thread import DeviceThread
from workers.base.pipeline import fix_device
from workers.swap.engine import AdapterSet, MergeEngine
from workers.swap.inventory import Inventory
from workers.swap.pristine import fingerprints

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedBase:
    """A base model as it was loaded, and what works on it.

    Attributes:
        pipeline: the diffusers pipeline.
        scheduler: as it came with the model.
        engine: merges adapters into the pipeline.
        inventory: what its modules held when nothing was merged.
        prints: the fingerprints of its tensors then, by name.
    """

    pipeline: Any
    scheduler: SchedulerMixin
    engine: MergeEngine
    inventory: Inventory
    prints: Mapping[str, int]

    @classmethod
    def around(cls, pipeline: Any, pristine_device: torch.device | None) -> Self:
        """Return what is needed around a pipeline that was just loaded."""
        fix_device(pipeline)
        inventory = Inventory.of(pipeline)
        return cls(
            pipeline=pipeline,
            scheduler=pipeline.scheduler,
            engine=MergeEngine(pipeline, pristine_device),
            inventory=inventory,
            prints=dict(zip(inventory.tensors, fingerprints(inventory.tensors.values()), strict=True)),
        )

    @cached_property
    def fingerprint(self) -> str:
        """One for all weights: 16 hexadecimal digits."""
        return hashlib.blake2b(repr(sorted(self.prints.items())).encode(), digest_size=8).hexdigest()

    def changed(self) -> list[str]:
        """Return the names of what the pipeline holds now, looked up anew, and did not when it was loaded: modules and
        tensors that were added, taken away or replaced; if there are none, those of tensors that are not, below what is
        merged into them, bit for bit what was loaded.
        """
        now = Inventory.of(self.pipeline)
        if different := self.inventory.differences(now):
            return different
        unmerged = self.engine.unmerged(now.tensors)
        numbers = fingerprints(unmerged.values())
        return [name for name, number in zip(unmerged, numbers, strict=True) if number != self.prints[name]]


class WarmPipeline:
    """A base model that is kept loaded, and kept honest.

    Args:
        load: loads the pipeline; called again when the base is found to have changed.
        pristine_device: where pristine copies are kept; None means beside the weights.
        check_every: swaps between two checks that the base is what was loaded.

    Attributes:
        device_thread: on which it is loaded, checked, swapped and run.
        reloads: how often the base was let go and loaded again.
        load_s: seconds that this took the last time.

    Raises:
        ConfigurationError: as ``load`` does, and if the device has no room for the base.
    """

    def __init__(self, load: Callable[[], Any], *, pristine_device: torch.device | None, check_every: int) -> None:
        self._load = load
        self._pristine_device = pristine_device
        self._check_every = check_every
        self._swaps = 0
        self._base: LoadedBase | None = None
        self.device_thread = DeviceThread()
        self.reloads = 0
        self.load_s = 0.0
        try:
            with memory_errors():
                self.device_thread.run(lambda: self.base)
        except OutOfMemory as error:
            raise ConfigurationError(
                "The device has no room for the base model and the pristine copies of its attention layers. Set "
                '`pristine = "host"` in its entry of models.toml, or take a smaller dtype or a larger device.'
            ) from error

    @property
    def base(self) -> LoadedBase:
        """The base model; loaded now if it is not."""
        if self._base is None:
            begin = time.monotonic()
            self._base = LoadedBase.around(self._load(), self._pristine_device)
            self.load_s = time.monotonic() - begin
        return self._base

    @property
    def merged(self) -> AdapterSet:
        """Return what is merged now. On any thread, like the numbers below; while the base is being loaded, nothing."""
        return self._base.engine.merged if self._base else ()

    @property
    def bytes(self) -> int:
        """Memory of the weights."""
        return self._base.inventory.bytes if self._base else 0

    @property
    def pristine_bytes(self) -> int:
        """Memory of the pristine copies."""
        return self._base.engine.pristine.bytes if self._base else 0

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

    def receipt(self) -> BaseReceipt:
        """Return which base is drawn with now. Called on the device's thread."""
        return BaseReceipt(fingerprint=self.base.fingerprint, swaps_since_check=self._swaps)

    def check(self) -> bool:
        """Return whether the base is bit for bit what was loaded. If not, it is loaded again before the next use."""
        self._swaps = 0
        changed = self.base.changed()
        if changed:
            logger.error("the base has changed in %d places, such as %s: loading it again", len(changed), changed[0])
            self.discard()
        return not changed

    def discard(self) -> None:
        """Let the base go, so that it is loaded again before it is used again. Called on the device's thread."""
        self.reloads += 1
        self._base = None
